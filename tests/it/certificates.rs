//! Many certificates, exchanged while clients shake hands.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{ClientConfig, ClientConnection};
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Files};
use tests::{PATIENCE, Sluice, trusting};

const COUNT: usize = 1000;
const CLIENTS: usize = 4;

fn config() -> Result<Arc<ClientConfig>> {
    let mut config = trusting::config(rustls::ALL_VERSIONS)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The certificate that a name is shown in a whole handshake.
fn shown(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    let mut tls = ClientConnection::new(config.clone(), name.to_owned().try_into()?)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let chain = tls.peer_certificates().context("a certificate")?;
    Ok(chain.first().context("a certificate")?.to_vec())
}

/// A certificate for a name with its key, as PEM, and as DER.
fn make(name: &str) -> Result<(String, Vec<u8>)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    let made = params.self_signed(&key)?;
    Ok((made.pem() + &key.serialize_pem(), made.der().to_vec()))
}

#[test]
fn a_thousand_certificates_change_under_load_without_a_failed_handshake() -> Result<()> {
    let files = Files::new()?;
    let directory = files.path("certs");
    std::fs::create_dir(&directory)?;
    let name = |n: usize| format!("host{n}.test");
    for n in 0..COUNT {
        std::fs::write(directory.join(format!("{}.pem", name(n))), make(&name(n))?.0)?;
    }
    let address = loopback()?;
    let text = format!(
        "{DEFAULTS}
frontend web
    bind {address} ssl crt {} strict-sni
    http-request return status 200
",
        directory.display()
    );
    let mut sluice = Sluice::config(text).master().start()?;
    let config = config()?;
    let (done, handshakes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut newest: HashMap<usize, Vec<u8>> = HashMap::new();
    std::thread::scope(|scope| -> Result<()> {
        let load = |seed: usize| {
            let mut n = seed;
            while !done.load(Ordering::Relaxed) {
                shown(&config, address, &name(n % COUNT)).with_context(|| name(n % COUNT))?;
                handshakes.fetch_add(1, Ordering::Relaxed);
                n += 7;
            }
            anyhow::Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || load(n * 131))).collect();
        let mut change = || -> Result<()> {
            for n in 0..COUNT {
                let file = directory.join(format!("{}.pem", name(n)));
                let (pem, der) = make(&name(n))?;
                if n % 2 == 0 {
                    // For the next worker.
                    std::fs::write(&file, &pem)?;
                }
                let cli = sluice.stats();
                let set = cli.command(&format!("set ssl cert {} <<\n{pem}\n", file.display()))?;
                ensure!(set.contains("Transaction created"), "{set}");
                let commit = cli.command(&format!("commit ssl cert {}", file.display()))?;
                ensure!(commit.contains("Success!"), "{commit}");
                newest.insert(n, der);
                if n == COUNT / 2 {
                    sluice.reload()?;
                    newest.retain(|n, _| n % 2 == 0);
                }
            }
            Ok(())
        };
        let changed = change();
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        changed
    })?;
    for (n, der) in newest.iter().step_by(20) {
        ensure!(shown(&config, address, &name(*n))? == *der, "{} is not the newest", name(*n));
    }
    ensure!(handshakes.load(Ordering::Relaxed) > 100, "{handshakes:?} handshakes");
    println!("{} handshakes", handshakes.load(Ordering::Relaxed));
    Ok(())
}
