//! What `top` knows: the latest `show stat`, and what changed since the one before.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::ctl::client::Rows;

/// Values behind a sparkline.
pub(super) const HISTORY: usize = 60;

/// Counters of an object since the process started.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    sessions: u64,
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What happened per second, between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) sessions: f64,
    pub(super) requests: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
}

/// A frontend or a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// The frontend, or the backend of the server.
    pub(super) proxy: String,
    /// Empty for a frontend.
    pub(super) server: String,
    pub(super) status: String,
    /// How the kernel or the worker carries a frontend; the outcome of the last check of a server.
    pub(super) detail: String,
    pub(super) sessions: String,
    pub(super) queue: String,
    pub(super) weight: String,
    pub(super) rates: Rates,
    /// Requests per second, or sessions per second where there are no requests; the newest last.
    pub(super) history: VecDeque<u64>,
}

impl Object {
    /// `backend/server`, or the frontend's name.
    pub(super) fn name(&self) -> String {
        if self.server.is_empty() {
            self.proxy.clone()
        } else {
            format!("{}/{}", self.proxy, self.server)
        }
    }
}

/// Everything shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) info: HashMap<String, String>,
    pub(super) frontends: Vec<Object>,
    pub(super) servers: Vec<Object>,
    /// By name, as of the last look.
    totals: HashMap<String, (Totals, VecDeque<u64>)>,
    seen: Option<Duration>,
}

impl Model {
    /// Takes in the answers to `show stat`, `show info` and `show l4`, read at `at` of any clock that never goes
    /// back.
    pub(super) fn observe(&mut self, stat: &Rows, info: &str, paths: &str, at: Duration) {
        let pairs = info.lines().filter_map(|line| line.split_once(": "));
        self.info = pairs.map(|(name, value)| (name.into(), value.trim().into())).collect();
        let paths = paths_of(paths);
        let elapsed = self.seen.map(|before| at.saturating_sub(before).as_secs_f64());
        let mut known = HashMap::new();
        self.frontends.clear();
        self.servers.clear();
        for row in &stat.rows {
            let field = |name: &str| stat.field(row, name).to_owned();
            let is_server = match stat.field(row, "type") {
                "0" => false,
                "2" => true,
                _ => continue,
            };
            let mut object = Object {
                proxy: field("pxname"),
                server: if is_server { field("svname") } else { String::new() },
                status: field("status"),
                sessions: field("scur"),
                queue: field("qcur"),
                weight: field("weight"),
                ..Object::default()
            };
            let name = object.name();
            object.detail = if is_server {
                field("check_status")
            } else {
                paths.get(&object.proxy).cloned().unwrap_or_default()
            };
            let number = |name: &str| stat.field(row, name).parse::<u64>().unwrap_or(0);
            let totals = Totals {
                sessions: number("stot"),
                requests: number("req_tot"),
                bytes_in: number("bin"),
                bytes_out: number("bout"),
            };
            let key = format!("{}{name}", u8::from(is_server));
            let (before, mut history) = self.totals.remove(&key).unzip();
            let history = history.get_or_insert_default();
            if let (Some(before), Some(elapsed)) = (before, elapsed.filter(|time| *time > 0.0)) {
                object.rates = rates(before, totals, elapsed);
                let busy =
                    if totals.requests > 0 { object.rates.requests } else { object.rates.sessions };
                if history.len() == HISTORY {
                    history.pop_front();
                }
                history.push_back(busy.round() as u64);
            }
            object.history = history.clone();
            known.insert(key, (totals, std::mem::take(history)));
            if is_server { &mut self.servers } else { &mut self.frontends }.push(object);
        }
        self.totals = known;
        self.seen = Some(at);
    }

    /// A field of `show info`.
    pub(super) fn fact(&self, name: &str) -> &str {
        self.info.get(name).map_or("-", String::as_str)
    }
}

fn rates(before: Totals, now: Totals, elapsed: f64) -> Rates {
    // Counters begin anew with a new worker.
    let since = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now) as f64 / elapsed;
    Rates {
        sessions: since(before.sessions, now.sessions),
        requests: since(before.requests, now.requests),
        bytes_in: since(before.bytes_in, now.bytes_in),
        bytes_out: since(before.bytes_out, now.bytes_out),
    }
}

/// The path of each frontend in the answer to `show l4`: a table whose columns stand under their titles.
fn paths_of(text: &str) -> HashMap<String, String> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let (Some(from), Some(to)) = (title.find(" path "), title.find(" reason")) else {
        return HashMap::new();
    };
    let row = |line: &str| {
        let path: String = line.chars().skip(from).take(to - from).collect();
        let name = line.split_whitespace().next()?;
        // Lines of the state follow the table.
        (!name.ends_with(':')).then(|| (name.to_owned(), path.trim().to_owned()))
    };
    lines.filter_map(row).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const TITLES: &str =
        "# pxname,svname,qcur,scur,stot,bin,bout,status,weight,type,check_status,req_tot\n";

    pub(in crate::ctl::top) fn look(model: &mut Model, requests: u64, at: u64) {
        let stat = format!(
            "{TITLES}web,FRONTEND,,3,7,1000,{},OPEN,,0,,{requests}\n\
             app,s1,0,2,{requests},500,900,UP,10,2,L4OK,\n\
             app,s2,,0,0,0,0,DOWN,1,2,L4CON,\n\
             app,BACKEND,0,2,5,1,1,UP,11,1,,\n",
            requests * 2048
        );
        let paths = "# frontend listener     path    reason\n\
                     web        10.0.0.1:80  l4 (tc) -\npinned: /sys/fs/bpf/x\n";
        let info = "Name: Sluice\nVersion: 0.1.0\nUptime: 0d 0h01m05s\nCurrConns: 3\n";
        model.observe(&Rows::parse(&stat).unwrap(), info, paths, Duration::from_secs(at));
    }

    #[test]
    fn rates_are_what_changed_per_second() {
        let mut model = Model::default();
        look(&mut model, 100, 10);
        assert_eq!(model.frontends[0].rates, Rates::default());
        assert_eq!(model.frontends[0].detail, "l4 (tc)");
        look(&mut model, 300, 12);
        let web = &model.frontends[0];
        assert_eq!((web.rates.requests, web.rates.bytes_out), (100.0, 204_800.0));
        assert_eq!(web.history, [100]);
        assert_eq!(model.servers.len(), 2);
        assert_eq!(model.servers[0].rates.sessions, 100.0);
        assert_eq!(model.servers[1].name(), "app/s2");
        // A new worker counts from nothing.
        look(&mut model, 50, 13);
        assert_eq!(model.frontends[0].rates.requests, 50.0);
        assert_eq!(model.fact("Uptime"), "0d 0h01m05s");
        assert_eq!(model.fact("Nothing"), "-");
    }

    #[test]
    fn no_paths_where_the_other_side_has_none() {
        assert!(
            paths_of("Unknown command. Please enter one of the following\n  help\n").is_empty()
        );
        assert!(paths_of("").is_empty());
    }
}
