//! What an agent says about its server (configuration manual, 5.2 `agent-check`), and what is made of it.

use super::{
    AgentSpec, Cause, Change, CheckResult, CheckStatus, Health, OpState, Server, Transition,
};
use crate::Now;
use std::net::IpAddr;
use std::sync::Arc;

/// Where the agent is and what it is told; commands change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTarget {
    /// `agent-addr`; falls back to the address of checks, then to the server's.
    pub addr: Option<IpAddr>,
    /// `agent-port`.
    pub port: u16,
    /// `agent-send`.
    pub send: String,
}

/// The agent of a server at one moment.
#[derive(Clone, Debug)]
pub struct AgentView {
    pub target: AgentTarget,
    pub enabled: bool,
    pub running: bool,
    pub health: Health,
    pub last: CheckResult,
}

/// The agent of a server.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) enabled: bool,
    running: bool,
    pub(super) health: Health,
    last: CheckResult,
    target: AgentTarget,
}

impl Agent {
    pub(super) fn new(spec: &AgentSpec, enabled: bool) -> Self {
        // One word of the agent is enough.
        let mut health = Health::new(1, 1);
        health.force_up();
        Self {
            enabled,
            running: false,
            health,
            last: CheckResult { status: CheckStatus::Initializing, ..CheckResult::default() },
            target: AgentTarget { addr: spec.addr, port: spec.port, send: spec.send.clone() },
        }
    }

    /// Whether the agent keeps its server down.
    pub(super) fn is_against(&self) -> bool {
        self.enabled && !self.health.is_up()
    }
}

/// What one line of an agent asks for. Words may be absent: what is not told does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentAnswer<'a> {
    pub admin: Option<AgentMode>,
    /// Whether the server is up, and the word that says so.
    pub state: Option<(bool, &'a str)>,
    /// `75%`, or what follows `weight:`.
    pub weight: Option<&'a str>,
    /// What follows `maxconn:`.
    pub maxconn: Option<&'a str>,
    /// What follows `#`.
    pub description: Option<&'a str>,
    /// The first word without a meaning.
    pub unknown: Option<&'a str>,
}

/// The administrative state an agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentMode {
    Ready,
    Drain,
    Maint,
}

impl<'a> AgentAnswer<'a> {
    /// Reads the line of an agent, without what ends it. Of words that contradict each other the last one counts.
    pub fn parse(line: &'a str) -> Self {
        let mut answer = Self::default();
        let (words, description) = match line.split_once('#') {
            Some((words, text)) => (words, Some(text.trim())),
            None => (line, None),
        };
        answer.description = description.filter(|text| !text.is_empty());
        for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            let lower = word.to_ascii_lowercase();
            match lower.as_str() {
                "ready" => answer.admin = Some(AgentMode::Ready),
                "drain" => answer.admin = Some(AgentMode::Drain),
                "maint" => answer.admin = Some(AgentMode::Maint),
                "up" => answer.state = Some((true, word)),
                "down" | "fail" | "stopped" => answer.state = Some((false, word)),
                _ if lower.starts_with("weight:") => answer.weight = word.get("weight:".len()..),
                _ if lower.starts_with("maxconn:") => answer.maxconn = word.get("maxconn:".len()..),
                _ if word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with('%') => {
                    answer.weight = Some(word);
                }
                _ => answer.unknown = answer.unknown.or(Some(word)),
            }
        }
        answer
    }

    /// The result that the statistics and the log show.
    pub fn result(&self, duration_ms: u64) -> CheckResult {
        match self.state {
            Some((up, word)) => CheckResult {
                status: if up { CheckStatus::L7Ok } else { CheckStatus::L7Status },
                code: Some(0),
                duration_ms,
                info: match self.description.or(self.unknown) {
                    Some(text) => format!("via agent : {word} ({text})"),
                    None => format!("via agent : {word}"),
                },
            },
            None => CheckResult {
                status: CheckStatus::Checked,
                code: None,
                duration_ms,
                info: self
                    .unknown
                    .map(|word| format!("agent reports an error : {word}"))
                    .unwrap_or_default(),
            },
        }
    }
}

/// Why a limit was not set. The texts are HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaxconnError {
    #[error("Require <maxconn>.")]
    Missing,
    #[error("maxconn string empty or preceded by garbage")]
    NotANumber,
    #[error("Trailing garbage in maxconn string")]
    Trailing,
    #[error("Value out of range.")]
    OutOfRange,
}

impl Server {
    /// Sets `maxconn` from the text of a command or of an agent.
    pub fn set_maxconn_text(&self, text: &str) -> Result<(), MaxconnError> {
        if text.is_empty() {
            return Err(MaxconnError::Missing);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(MaxconnError::NotANumber);
        }
        if digits != text.len() {
            return Err(MaxconnError::Trailing);
        }
        self.set_maxconn(text.parse().map_err(|_| MaxconnError::OutOfRange)?);
        Ok(())
    }

    /// The agent at this moment; `None` without `agent-check`.
    pub fn agent(&self) -> Option<AgentView> {
        let inner = self.inner.lock();
        inner.agent.as_ref().map(|agent| AgentView {
            target: agent.target.clone(),
            enabled: agent.enabled,
            running: agent.running,
            health: agent.health,
            last: agent.last.clone(),
        })
    }

    /// Whether an agent is configured and asked.
    pub fn agent_enabled(&self) -> bool {
        self.inner.lock().agent.as_ref().is_some_and(|agent| agent.enabled)
    }

    /// Notes that the agent is being asked.
    pub fn agent_started(&self) {
        if let Some(agent) = &mut self.inner.lock().agent {
            agent.running = true;
        }
    }

    /// `disable agent`, `enable agent`. `false` when there is none.
    pub fn set_agent_enabled(self: &Arc<Self>, enabled: bool) -> bool {
        {
            let mut inner = self.inner.lock();
            let Some(agent) = &mut inner.agent else { return false };
            agent.enabled = enabled;
        }
        if let Some(backend) = self.backend() {
            backend.hooks.server_changed(self);
        }
        true
    }

    /// `set server ... agent-addr`, `agent-port`, `agent-send`. `false` when there is no agent.
    pub fn set_agent_target(&self, edit: impl FnOnce(&mut AgentTarget)) -> bool {
        let mut inner = self.inner.lock();
        inner.agent.as_mut().map(|agent| edit(&mut agent.target)).is_some()
    }

    /// `set server ... agent up|down`: forces what the agent said last.
    pub fn force_agent(self: &Arc<Self>, up: bool, now: Now) -> Option<Transition> {
        self.change(now, |inner| judge(inner, up, Cause::Cli))
    }

    /// Takes in what the line of an agent says of maintenance and drain: before the rest, and before the line is told.
    pub fn obey_agent(self: &Arc<Self>, answer: &AgentAnswer<'_>, now: Now) {
        match answer.admin {
            Some(AgentMode::Ready) => drop(self.set_ready(now)),
            Some(AgentMode::Maint) => drop(self.set_maint(now)),
            Some(AgentMode::Drain) if self.agent_enabled() => drop(self.set_drain(now)),
            Some(AgentMode::Drain) | None => {}
        }
    }

    /// Takes in the rest of the line of an agent, with the result that it is shown as.
    pub fn report_agent(
        self: &Arc<Self>,
        answer: &AgentAnswer<'_>,
        mut result: CheckResult,
        now: Now,
    ) {
        // An answer that was asked for before `disable agent` changes no weight any more.
        let heeds = self.agent_enabled();
        let mut warning = None;
        if let Some(weight) = answer.weight.filter(|_| heeds)
            && let Err(error) = self.set_weight_text(weight, now)
        {
            warning = Some(error.to_string());
        }
        if let Some(maxconn) = answer.maxconn
            && let Err(error) = self.set_maxconn_text(maxconn)
        {
            warning = Some(error.to_string());
        }
        if let Some(warning) = warning.filter(|_| result.info.is_empty()) {
            result.info = format!("agent warns : {warning}");
        }
        self.note_agent(result.clone());
        if let Some((up, _)) = answer.state {
            self.change(now, |inner| judge(inner, up, Cause::Check(result)));
        }
    }

    /// Takes in that an agent gave no answer, which says nothing about its server.
    pub fn note_agent(&self, result: CheckResult) {
        if let Some(agent) = &mut self.inner.lock().agent {
            agent.running = false;
            agent.last = result;
        }
    }

    /// Whether the agent holds the server down or has it drain: statuses say so.
    pub(super) fn agent_says(&self) -> (bool, bool) {
        let inner = self.inner.lock();
        let enabled = inner.agent.as_ref().filter(|agent| agent.enabled);
        let against = enabled.is_some_and(|agent| agent.is_against());
        (against, enabled.is_some() && inner.admin.is_drain())
    }
}

/// The agent's word and the checks' together are the state.
fn judge(inner: &mut super::Inner, up: bool, cause: Cause) -> Option<Change> {
    let checks_fail = inner.check_enabled && !inner.health.is_up();
    let agent = inner.agent.as_mut()?;
    if up {
        agent.health.force_up();
    } else {
        agent.health.force_down();
    }
    if inner.admin.is_maint() {
        return None;
    }
    match (up, inner.op) {
        (false, OpState::Running | OpState::Stopping) => {
            inner.op = OpState::Stopped;
            Some(Change::Down(cause))
        }
        (true, OpState::Stopped) if !checks_fail => {
            inner.op = OpState::Running;
            Some(Change::Up(cause))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let a = AgentAnswer::parse(line);
        let mut seen = Vec::new();
        seen.extend(a.admin.map(|mode| format!("{mode:?}")));
        seen.extend(a.state.map(|(up, word)| format!("{word}={up}")));
        seen.extend(a.weight.map(|weight| format!("w {weight}")));
        seen.extend(a.maxconn.map(|limit| format!("m {limit}")));
        seen.extend(a.description.map(|text| format!("d {text}")));
        seen.extend(a.unknown.map(|word| format!("? {word}")));
        assert_eq!(seen.join("; "), expected, "{line}");
    }

    #[test]
    fn words_come_in_any_order() {
        check("", "");
        check("75%", "w 75%");
        check("weight:20", "w 20");
        check("WEIGHT:20%", "w 20%");
        check("maxconn:30\tup", "up=true; m 30");
        check("ready,UP 50%", "Ready; UP=true; w 50%");
        check("down # gone, or so", "down=false; d gone, or so");
        check("stopped#by hand", "stopped=false; d by hand");
        check("fail", "fail=false");
        check("up down", "down=false");
        check("down up #", "up=true");
        check("drain maint", "Maint");
        check("ready up foo 30% bar", "Ready; up=true; w 30%; ? foo");
        check("%", "? %");
        check(" ,\t", "");
        check("weight:", "w ");
    }

    #[test]
    fn results_are_told_as_haproxy_tells_them() {
        let info = |line: &str| {
            let result = AgentAnswer::parse(line).result(0);
            format!("{}|{}", result.status.short(), result.info)
        };
        assert_eq!(info("up"), "L7OK|via agent : up");
        assert_eq!(info("Down #a b"), "L7STS|via agent : Down (a b)");
        assert_eq!(info("up foo"), "L7OK|via agent : up (foo)");
        assert_eq!(info("75%"), "CHECKED|");
        assert_eq!(info("bogus"), "CHECKED|agent reports an error : bogus");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in ".{0,200}") {
            let _ = AgentAnswer::parse(&line).result(0);
        }
    }
}
