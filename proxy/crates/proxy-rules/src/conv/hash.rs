//! Hashes that are no signatures (configuration manual, 7.3.1). Results are those of HAProxy to the bit.

use xxhash_rust::{xxh3, xxh32, xxh64};

use crate::hash::{self, HashFunction};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const AVALANCHE: &[ArgDef] = &[opt(ArgKind::Int)];
const SEED: &[ArgDef] = &[opt(ArgKind::Int)];

const fn row(
    name: &'static str,
    args: &'static [ArgDef],
    run: crate::sample::def::ConvFn,
    doc: &'static str,
) -> ConvDef {
    ConvDef::new(name, args, Type::Bin, Type::Sint, run, doc)
}

pub(super) const CONVS: &[ConvDef] = &[
    row("crc32", AVALANCHE, crc32, "CRC-32 of Ethernet and gzip, with full avalanche for 1.")
        .eg(&[("str(AbC),crc32", Some("906438634")), ("str(AbC),crc32(1)", Some("2905542469"))]),
    row("crc32c", AVALANCHE, crc32c, "CRC-32C (Castagnoli), with full avalanche for 1.")
        .eg(&[("str(123456789),crc32c", Some("3808858755"))]),
    row("djb2", AVALANCHE, djb2, "DJB2 hash, with full avalanche for 1.")
        .eg(&[("str(AbC),djb2", Some("193451083")), ("str(AbC),djb2(1)", Some("759204296"))]),
    row("sdbm", AVALANCHE, sdbm, "SDBM hash, with full avalanche for 1.")
        .eg(&[("str(AbC),sdbm", Some("543426594")), ("base,sdbm(1)", Some("1393422911"))]),
    row("wt6", AVALANCHE, wt6, "WT6 hash, with full avalanche for 1.")
        .eg(&[("str(AbC),wt6", Some("1827460851"))]),
    row("xxh3", SEED, xxh3, "XXH3 of 64 bits, as signed number.")
        .eg(&[("str(AbC),xxh3", Some("-5503808296541890213"))]),
    row("xxh32", SEED, xxh32, "XXH32.").eg(&[("str(AbC),xxh32", Some("2213098629"))]),
    row("xxh64", SEED, xxh64, "XXH64, as signed number.")
        .eg(&[("str(AbC),xxh64", Some("-8456157881566192876"))]),
];

fn named<'a>(function: HashFunction, args: &Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let hash = hash::hash(function, value.bytes()?, args.int(0) == Some(1));
    Some(Sample::Int(i64::from(hash)))
}

fn mixed<'a>(hash: u32, args: &Args) -> Option<Sample<'a>> {
    let hash = if args.int(0) == Some(1) { proxy_state::lb::avalanche(hash) } else { hash };
    Some(Sample::Int(i64::from(hash)))
}

fn crc32<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    mixed(crc32fast::hash(value.bytes()?), args)
}

fn crc32c<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    mixed(crc32c::crc32c(value.bytes()?), args)
}

fn djb2<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    named(HashFunction::Djb2, args, value)
}

fn sdbm<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    named(HashFunction::Sdbm, args, value)
}

fn wt6<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    named(HashFunction::Wt6, args, value)
}

fn seed(args: &Args) -> u64 {
    args.int(0).unwrap_or(0) as u64
}

fn xxh3<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(xxh3::xxh3_64_with_seed(value.bytes()?, seed(args)) as i64))
}

fn xxh32<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(xxh32::xxh32(value.bytes()?, seed(args) as u32))))
}

fn xxh64<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(xxh64::xxh64(value.bytes()?, seed(args)) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv;
    use crate::sample::Arg;
    use crate::sample::example::Traffic;

    #[test]
    fn of_all_bytes() {
        let key: Vec<u8> = (0..=255).collect();
        for (name, expected, with_one) in [
            ("crc32", 688_229_491, 4_230_317_029),
            ("crc32c", 2_621_708_363, 2_242_979_626),
            ("djb2", 2_589_693_061, 600_622_701),
            ("sdbm", 905_707_648, 3_103_804_144),
            ("wt6", 4_090_277_559, 1_192_658_767),
            ("xxh3", -7_779_787_747_613_135_503, 5_930_632_130_106_562_027),
            ("xxh32", 1_497_633_363, 1_070_421_674),
            ("xxh64", 2_282_408_585_429_094_475, -4_689_339_368_900_765_961),
        ] {
            let traffic = Traffic::new();
            let (cx, def) = (traffic.context(), conv::find(name).unwrap());
            let (none, one) = (Args::default(), Args(vec![Arg::Int(1)]));
            assert_eq!(
                (def.run)(&cx, &none, Sample::Bin(&key)),
                Some(Sample::Int(expected)),
                "{name}"
            );
            assert_eq!(
                (def.run)(&cx, &one, Sample::Bin(&key)),
                Some(Sample::Int(with_one)),
                "{name}(1)"
            );
        }
    }
}
