//! The scripts of checks that speak a protocol.

use super::protocol::{Protocol, Reply, pgsql_startup, ssl_hello};
use super::script::{Act, Script, Step};
use super::send::Send;
use super::spop;
use super::words::Kind;

impl Protocol {
    /// The script of such a check.
    pub fn script(&self) -> Script {
        let mut acts = Vec::new();
        match self {
            Self::Ldap => {
                acts.push(bytes(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"));
                acts.push(Act::Reply(Reply::Ldap));
            }
            Self::MySql(user) => {
                // The log-in does not wait for the greeting: nothing in it depends on that.
                if let Some(user) = user {
                    acts.push(bytes(&user.login()));
                }
                acts.push(Act::Reply(Reply::MySqlGreeting));
                if user.is_some() {
                    acts.push(Act::Reply(Reply::MySqlLogin));
                }
            }
            Self::PgSql(user) => {
                acts.push(bytes(&pgsql_startup(user)));
                acts.push(Act::Reply(Reply::PgSql));
            }
            Self::Redis => {
                acts.push(bytes(b"*1\r\n$4\r\nPING\r\n"));
                acts.push(Act::Reply(Reply::Redis));
            }
            Self::Smtp { hello, domain } => {
                acts.push(Act::Reply(Reply::Smtp));
                acts.push(bytes(format!("{hello} {domain}\r\n").as_bytes()));
                acts.push(Act::Reply(Reply::Smtp));
                acts.push(bytes(b"QUIT\r\n"));
                acts.push(Act::Reply(Reply::Smtp));
            }
            Self::Spop => {
                acts.push(bytes(&spop::hello()));
                acts.push(Act::Reply(Reply::Spop));
            }
            Self::SslHello => {
                acts.push(bytes(&ssl_hello()));
                acts.push(Act::Reply(Reply::Ssl));
            }
        }
        let steps = (1..).zip(acts).map(|(number, act)| Step { number, act, comment: None });
        Script {
            kind: Kind::Tcp,
            steps: steps.collect(),
            disable_on_404: false,
            send_state: false,
            unique_id: None,
        }
    }
}

fn bytes(bytes: &[u8]) -> Act {
    Act::Send(Send::Bytes(bytes.to_vec()))
}
