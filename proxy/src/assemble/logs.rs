//! Log targets of the proxies and of the process.

use std::sync::Arc;

use proxy_config::model::{
    Config, LogDestination, LogEntry, LogFormat, LogProfile, LogTarget, Proxy, Ring,
};
use proxy_state::Registry;
use proxy_stream::log::emit::{Destination, Format, Sample, TargetSpec, Targets};
use proxy_stream::log::{Profile, Route, Sink};
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::addresses::Resolver;
use super::transport::{self, Shelf};

/// Port of syslog servers (configuration manual, 4.2 "log").
const SYSLOG_PORT: u16 = 514;
/// Name of the program in log lines; HAProxy's, because log analysers look for it.
pub(super) const DEFAULT_TAG: &str = "haproxy";

/// Opens targets.
pub(crate) struct Logs<'a> {
    pub(crate) config: &'a Config,
    pub(crate) resolver: Resolver,
    pub(crate) registry: &'a Arc<Registry>,
    pub(crate) places: &'a dyn Shelf,
}

impl Logs<'_> {
    /// Where the lines of a proxy go; `None` when it has no `log` line.
    pub(crate) fn of_proxy(
        &self,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Sink>> {
        let tag = proxy.settings.log_tag.as_ref().map(|tag| tag.value.as_str());
        self.open(self.config.log_targets(proxy), tag, diagnostics)
    }

    /// Where lines of their own go.
    pub(crate) fn of_entries(
        &self,
        entries: &[LogEntry],
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Sink>> {
        self.open(self.config.targets(entries), None, diagnostics)
    }

    /// The targets of a frontend, together when they have one profile; `profiles` are those of the configuration.
    pub(crate) fn routes(
        &self,
        proxy: &Proxy,
        profiles: &[Arc<Profile>],
        diagnostics: &mut Diagnostics,
    ) -> Vec<Route> {
        let own = proxy.settings.log_tag.as_ref().map(|tag| tag.value.as_str());
        let mut groups: Vec<(Option<&str>, Vec<&LogTarget>)> = Vec::new();
        for target in self.config.log_targets(proxy) {
            let name = target.profile.as_ref().map(|name| name.value.as_str());
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, group)) => group.push(target),
                None => groups.push((name, vec![target])),
            }
        }
        let mut routes = Vec::new();
        for (name, targets) in groups {
            let index = name.and_then(|name| self.profile_index(name));
            let section = index.and_then(|index| self.config.log_profiles.get(index));
            let tag = section.and_then(|section| section.log_tag.as_ref());
            let tag = tag.map(|tag| tag.value.as_str()).or(own);
            if let Some(sink) = self.open(targets.into_iter(), tag, diagnostics) {
                let profile = index.and_then(|index| profiles.get(index)).cloned();
                routes.push(Route { sink, profile });
            }
        }
        routes
    }

    /// All targets of a frontend under one profile, for `do-log profile`.
    pub(crate) fn under(
        &self,
        proxy: &Proxy,
        section: &LogProfile,
        profile: &Arc<Profile>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Route> {
        let tag = section.log_tag.as_ref().or(proxy.settings.log_tag.as_ref());
        let tag = tag.map(|tag| tag.value.as_str());
        let sink = self.open(self.config.log_targets(proxy), tag, diagnostics);
        sink.map(|sink| Route { sink, profile: Some(profile.clone()) }).into_iter().collect()
    }

    fn profile_index(&self, name: &str) -> Option<usize> {
        self.config.log_profiles.iter().position(|profile| profile.name.value == name)
    }

    /// Where the process' own messages go.
    pub(crate) fn of_process(&self, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Sink>> {
        self.open(self.config.global.logs.iter(), None, diagnostics)
    }

    /// Where messages of others go; `None` when the section has no `log` line.
    pub(crate) fn of_forward(
        &self,
        section: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Targets>> {
        self.targets(self.config.log_targets(section), None, diagnostics)
    }

    fn open<'t>(
        &self,
        targets: impl Iterator<Item = &'t LogTarget>,
        tag: Option<&str>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Sink>> {
        self.targets(targets, tag, diagnostics).map(|targets| targets as Arc<dyn Sink>)
    }

    fn targets<'t>(
        &self,
        targets: impl Iterator<Item = &'t LogTarget>,
        tag: Option<&str>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Targets>> {
        let targets: Vec<_> = targets.collect();
        let mut specs = Vec::with_capacity(targets.len());
        for target in &targets {
            match self.spec(target, tag) {
                Ok(spec) => specs.push(spec),
                Err(error) => {
                    diagnostics.push(Diagnostic::alert(error).at(target.destination.span))
                }
            }
        }
        if specs.is_empty() {
            return None;
        }
        match Targets::open(specs) {
            Ok(sink) => Some(Arc::new(sink.counted_in(self.registry.clone()))),
            Err((index, error)) => {
                let span = targets.get(index).map_or(proxy_types::Span::NONE, |t| t.span);
                diagnostics.push(
                    Diagnostic::alert(format!("cannot open the log target : {error}")).at(span),
                );
                None
            }
        }
    }

    fn spec(&self, target: &LogTarget, tag: Option<&str>) -> Result<TargetSpec, String> {
        let global = &self.config.global;
        let destination = match &target.destination.value {
            LogDestination::Datagram(address) => Destination::Datagram(
                self.resolver.target(address, SYSLOG_PORT).map_err(|error| error.to_string())?,
            ),
            LogDestination::Fd(fd) => Destination::Fd(*fd),
            LogDestination::Stdout => Destination::Fd(1),
            LogDestination::Stderr => Destination::Fd(2),
            LogDestination::Ring(name) => Destination::Ring(self.places.ring(name)?),
            LogDestination::Backend(name) => Destination::Backend(self.places.farm(name)?),
            LogDestination::Stream(address) => {
                let address = self.resolver.target(address, SYSLOG_PORT);
                let address = address.map_err(|error| error.to_string())?;
                Destination::Ring(self.places.stream(target.span, address)?)
            }
        };
        let sends_hostname = global.log_send_hostname.as_ref();
        let hostname = sends_hostname.map(|name| {
            name.value.clone().unwrap_or_else(|| {
                nix::unistd::gethostname()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_else(|_| "localhost".into())
            })
        });
        // A ring has a form of its own, and perhaps messages that are shorter.
        let (own, most) = match &target.destination.value {
            LogDestination::Ring(name) => {
                let (form, most) = form_of_ring(self.config, name);
                (Some(form), most)
            }
            _ => (None, usize::MAX),
        };
        let format = match own.or_else(|| target.format.map(|format| form(format.value))) {
            None if sends_hostname.is_some() => Format::Rfc3164,
            None => Format::Local,
            Some(form) => form,
        };
        let global_tag = global.log_tag.as_ref().map(|tag| tag.value.as_str());
        Ok(TargetSpec {
            destination,
            format,
            keeps_form: own.is_none() && target.format.is_none(),
            facility: target.facility.0,
            level: target.level as u8,
            min_level: target.min_level as u8,
            max_len: (u32::from(target.max_len) as usize).min(most),
            sample: target.sample.as_ref().map(|sample| Sample {
                ranges: sample.value.ranges.clone(),
                size: sample.value.size,
            }),
            buffers: transport::log_buffers(self.config),
            tag: tag.or(global_tag).unwrap_or(DEFAULT_TAG).to_owned(),
            hostname: match format {
                Format::Rfc3164 => Some(hostname.unwrap_or_else(|| "localhost".into())),
                _ => hostname,
            },
        })
    }
}

fn form(format: LogFormat) -> Format {
    match format {
        LogFormat::Local => Format::Local,
        LogFormat::Iso => Format::Iso,
        LogFormat::Priority => Format::Priority,
        LogFormat::Raw => Format::Raw,
        LogFormat::Rfc3164 => Format::Rfc3164,
        LogFormat::Rfc5424 => Format::Rfc5424,
        LogFormat::Short => Format::Short,
        LogFormat::Timed => Format::Timed,
    }
}

/// The form of messages in a ring, and how many bytes of them it takes at most.
pub(super) fn form_of_ring(config: &Config, name: &str) -> (Format, usize) {
    let ring = config.rings.iter().find(|ring| ring.name.value == name);
    let format = ring.map_or(transport::BUILTIN_FORMAT, Ring::format);
    (form(format), ring.map_or(usize::MAX, |ring| ring.max_len() as usize))
}
