//! What a health check does, and what came of it.

use crate::options::Proto;
use std::net::IpAddr;
use std::time::Duration;

/// `check` of a server with its parameters (configuration manual, 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSpec {
    /// Pause between checks while up; default 2 s.
    pub inter: Duration,
    /// Pause while changing; falls back to `inter`.
    pub fastinter: Option<Duration>,
    /// Pause while down; falls back to `inter`.
    pub downinter: Option<Duration>,
    /// Successes that bring a server up; at least 1, default 2.
    pub rise: u32,
    /// Failures that take a server down; at least 1, default 3.
    pub fall: u32,
    /// `port` of the check; falls back to the server's.
    pub port: Option<u16>,
    /// `addr` of the check; falls back to the server's.
    pub addr: Option<IpAddr>,
    /// `check-send-proxy`, or implied by `send-proxy`.
    pub send_proxy: bool,
    /// `check-ssl`, or implied by `ssl`.
    pub tls: bool,
    /// `check-sni`.
    pub sni: Option<String>,
    /// Not with `no-check-sni-auto`.
    pub sni_auto: bool,
    /// `check-alpn`; falls back to the server's.
    pub alpn: Option<Vec<Vec<u8>>>,
    /// `check-proto`; falls back to the server's.
    pub proto: Option<Proto>,
    /// `check-via-socks4`.
    pub via_socks4: bool,
}

impl Default for CheckSpec {
    fn default() -> Self {
        Self {
            inter: Duration::from_secs(2),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            port: None,
            addr: None,
            send_proxy: false,
            tls: false,
            sni: None,
            sni_auto: true,
            alpn: None,
            proto: None,
            via_socks4: false,
        }
    }
}

/// Where checks go in place of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckTarget {
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
}

/// `agent-check` of a server with its parameters (configuration manual, 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    /// `agent-inter`: pause between two questions; default 2 s.
    pub inter: Duration,
    /// `agent-addr`; falls back to the address of the checks, then to the server's.
    pub addr: Option<IpAddr>,
    /// `agent-port`.
    pub port: u16,
    /// `agent-send`: what the agent is told first. May be empty.
    pub send: String,
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $short:literal, $long:literal;)*) => {
        /// Status of a health check (management manual, 9.1 `check_status`).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum CheckStatus { #[default] $($(#[$doc])* $name = $number,)* }

        impl CheckStatus {
            /// Every status, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of the statistics: `L4OK`.
            pub fn short(self) -> &'static str {
                match self { $(Self::$name => $short,)* }
            }

            /// The description of logs and statistics: `Layer4 check passed`.
            pub fn long(self) -> &'static str {
                match self { $(Self::$name => $long,)* }
            }

            /// The number in `show servers state`.
            pub fn number(self) -> u8 {
                self as u8
            }
        }
    };
}

statuses! {
    Unknown = 0, "UNK", "Unknown";
    Initializing = 1, "INI", "Initializing";
    /// An agent answered without a word on the state.
    Checked = 3, "CHECKED", "No status change";
    /// Errors counted by `observe`.
    Observed = 4, "HANA", "Health analyze";
    SocketError = 5, "SOCKERR", "Socket error";
    L4Ok = 6, "L4OK", "Layer4 check passed";
    L4Timeout = 7, "L4TOUT", "Layer4 timeout";
    L4Connection = 8, "L4CON", "Layer4 connection problem";
    L6Ok = 9, "L6OK", "Layer6 check passed";
    L6Timeout = 10, "L6TOUT", "Layer6 timeout";
    L6Response = 11, "L6RSP", "Layer6 invalid response";
    L7Timeout = 12, "L7TOUT", "Layer7 timeout";
    L7Response = 13, "L7RSP", "Layer7 invalid response";
    L7Ok = 15, "L7OK", "Layer7 check passed";
    L7OkConditional = 16, "L7OKC", "Layer7 check conditionally passed";
    L7Status = 17, "L7STS", "Layer7 wrong status";
    /// The program said no.
    ProcessError = 18, "PROCERR", "External check error";
    ProcessTimeout = 19, "PROCTOUT", "External check timeout";
    ProcessOk = 20, "PROCOK", "External check passed";
}

impl CheckStatus {
    /// Whether the code of the result is an answer of the server's application.
    pub fn has_code(self) -> bool {
        matches!(
            self,
            Self::L7Ok
                | Self::L7OkConditional
                | Self::L7Status
                | Self::ProcessOk
                | Self::ProcessError
                | Self::ProcessTimeout
        )
    }

    /// Whether the server answered as wanted.
    pub fn verdict(self) -> CheckVerdict {
        match self {
            Self::Unknown | Self::Initializing => CheckVerdict::Unknown,
            Self::Checked => CheckVerdict::Neutral,
            Self::L4Ok | Self::L6Ok | Self::L7Ok | Self::ProcessOk => CheckVerdict::Passed,
            Self::L7OkConditional => CheckVerdict::Conditional,
            Self::Observed
            | Self::SocketError
            | Self::L4Timeout
            | Self::L4Connection
            | Self::L6Timeout
            | Self::L6Response
            | Self::L7Timeout
            | Self::L7Response
            | Self::L7Status
            | Self::ProcessError
            | Self::ProcessTimeout => CheckVerdict::Failed,
        }
    }
}

/// What a status means for the server; the numbers are those of `srv_check_result` in `show servers state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CheckVerdict {
    #[default]
    Unknown = 0,
    /// Says nothing about the state.
    Neutral = 1,
    Failed = 2,
    Passed = 3,
    /// Passed, but the server asks for no new sessions (404 with `disable-on-404`).
    Conditional = 4,
}

/// Outcome of one check, as the checker reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckResult {
    pub status: CheckStatus,
    /// HTTP status or error number, if any (`check_code`).
    pub code: Option<u32>,
    /// Milliseconds from connect to verdict.
    pub duration_ms: u64,
    /// Textual detail, such as `Connection refused` (`last_chk`). May be empty.
    pub info: String,
}
