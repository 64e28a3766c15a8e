//! Certificates for tests, made by the `openssl` program.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::netns::run;
use crate::sluice::Files;

/// A directory with an authority that signs certificates.
pub struct Authority {
    files: Files,
}

impl Authority {
    /// Makes an authority with a P-256 key.
    pub fn new() -> Result<Self> {
        let authority = Self { files: Files::new()? };
        authority.key("ca.key")?;
        // Names of authorities must differ, or signatures of one are tried with the key of another.
        let directory = authority.path("");
        let name = directory.trim_matches('/').replace('/', ".");
        authority.openssl(&format!(
            "req -x509 -new -key ca.key -days 30 -subj /CN={name} -out ca.pem \
             -addext basicConstraints=critical,CA:TRUE"
        ))?;
        Ok(authority)
    }

    /// The certificate of the authority.
    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate with its key for `name` (a wildcard, too), signed; returns its path. It is good for `days`; negative is one that
    /// has expired.
    pub fn issue(&self, file: &str, name: &str, days: i32) -> Result<String> {
        self.issue_with(file, name, days, "")
    }

    /// The same with more extensions, a line each.
    pub fn issue_with(&self, file: &str, name: &str, days: i32, more: &str) -> Result<String> {
        self.key("leaf.key")?;
        self.openssl(&format!("req -new -key leaf.key -subj /CN={name} -out leaf.csr"))?;
        self.files.write("leaf.ext", &format!("subjectAltName=DNS:{name}\n{more}"))?;
        // The `x509` command of OpenSSL 3.0 cannot set dates; `ca` can.
        if days < 0 {
            self.register()?;
            self.openssl(
                "ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in leaf.csr -notext \
                 -startdate 20200101000000Z -enddate 20200102000000Z -extfile leaf.ext -out leaf.pem",
            )?;
        } else {
            self.openssl(&format!(
                "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
                 -extfile leaf.ext -out leaf.pem"
            ))?;
        }
        let read = |name: &str| {
            std::fs::read_to_string(self.files.path(name)).with_context(|| name.to_owned())
        };
        let both = read("leaf.pem")? + &read("leaf.key")?;
        Ok(self.files.write(file, &both)?.display().to_string())
    }

    /// Writes what OCSP says about a certificate.
    pub fn ocsp(&self, certificate: &str, response: &str) -> Result<()> {
        self.register()?;
        self.openssl(&format!(
            "ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -issuer ca.pem -cert {certificate} \
             -ndays 7 -no_nonce -respout {response}"
        ))
    }

    /// The books of the `ca` command know a certificate.
    pub fn enter(&self, certificate: &str) -> Result<()> {
        self.register()?;
        self.openssl(&format!(
            "ca -config ca.cnf -cert ca.pem -keyfile ca.key -valid {certificate}"
        ))
    }

    /// Writes a list of the certificates that were revoked.
    pub fn revocations(&self, list: &str) -> Result<()> {
        self.register()?;
        self.openssl(&format!(
            "ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -crldays 30 -out {list}"
        ))
    }

    /// Revokes a certificate and writes a list that says so.
    pub fn revoke(&self, file: &str, list: &str) -> Result<()> {
        self.register()?;
        self.openssl(&format!("ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke {file}"))?;
        self.revocations(list)
    }

    /// What the `ca` command keeps its books in.
    fn register(&self) -> Result<()> {
        if self.file("ca.cnf").exists() {
            return Ok(());
        }
        self.files.write("index.txt", "")?;
        self.files.write(
            "ca.cnf",
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\n\
             policy=p\nnew_certs_dir=.\nunique_subject=no\n[p]\ncommonName=supplied\n",
        )?;
        Ok(())
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    fn key(&self, name: &str) -> Result<()> {
        self.openssl(&format!("ecparam -genkey -name prime256v1 -noout -out {name}"))
    }

    /// Runs `openssl` in the directory.
    pub fn openssl(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(self.files.path(""));
        run(&mut command).map(drop)
    }
}
