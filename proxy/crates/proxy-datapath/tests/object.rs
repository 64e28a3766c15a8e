//! The object file holds what `proxy_common::maps` promises, and the kernel takes it.

use aya::{
    EbpfLoader,
    programs::{SchedClassifier, Xdp},
};
use proxy_common::maps;
use proxy_datapath::object;

#[test]
fn kernel_takes_every_map_and_program() {
    let object = match object::bytes() {
        Ok(object) => object,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: loading needs root");
    }
    let mut ebpf = EbpfLoader::new().load(object).unwrap();
    for name in maps::ALL {
        assert!(ebpf.map(name).is_some(), "map {name}");
    }
    let xdp: &mut Xdp = ebpf.program_mut(maps::PROGRAM_XDP).unwrap().try_into().unwrap();
    xdp.load().unwrap();
    println!(
        "{} verified: {:?}",
        maps::PROGRAM_XDP,
        xdp.info().unwrap().verified_instruction_count()
    );
    for name in [maps::PROGRAM_TC, maps::PROGRAM_EXPIRE] {
        let tc: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
        tc.load().unwrap();
        println!("{name} verified: {:?}", tc.info().unwrap().verified_instruction_count());
    }
}
