//! Lines of lists and host names of listeners: shown, added, taken away.

use std::sync::Arc;

use super::{Bound, Inner, LiveError, Store};
use crate::listener::{Entry, Filter, Slot};
use crate::material::Certificate;

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListLine {
    pub certificate: Arc<str>,
    pub number: usize,
    pub options: Arc<str>,
    pub filters: Vec<String>,
}

/// A host name of a listener.
#[derive(Clone, Debug)]
pub struct Sni {
    pub frontend: Arc<str>,
    pub place: Arc<str>,
    pub name: String,
    pub except: Vec<String>,
    pub file: Arc<str>,
    pub certificate: Arc<Certificate>,
}
impl Store {
    /// Whether a certificate is in use with another `ocsp-update`.
    fn updates_differ(&self, slot: &Arc<Slot>, on: bool) -> bool {
        let inner = self.inner.lock();
        inner.is_used(slot) && inner.ocsp_updated.contains_key(&*slot.name) != on
    }

    /// Names of all lists and directories.
    #[must_use]
    pub fn lists(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for bound in &self.inner.lock().listeners {
            bound.listener.with_entries(|entries| {
                names.extend(
                    entries.iter().filter_map(|entry| Some(entry.line.as_ref()?.list.clone())),
                );
            });
        }
        names.sort();
        names.dedup();
        names
    }

    /// The lines of a list.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<ListLine>> {
        let inner = self.inner.lock();
        inner.listeners.iter().find_map(|bound| {
            let lines = bound.listener.with_entries(|entries| {
                let of = entries.iter().filter_map(|entry| {
                    let line = entry.line.as_ref().filter(|line| *line.list == *name)?;
                    Some(ListLine {
                        certificate: entry.slot.name.clone(),
                        number: line.number,
                        options: line.options.clone(),
                        filters: entry.filters.iter().map(Filter::to_string).collect(),
                    })
                });
                of.collect::<Vec<_>>()
            });
            (!lines.is_empty()).then_some(lines)
        })
    }

    /// `add ssl crt-list`.
    ///
    /// # Errors
    /// There is no such list or certificate, or the options are of no use; nothing has changed then.
    pub fn add_line(
        &self,
        list: &str,
        certificate: &str,
        options: &str,
        filters: &[Filter],
    ) -> Result<(), LiveError> {
        let (slot, bounds) = {
            let inner = self.inner.lock();
            let slot = inner.named(certificate).ok_or(LiveError::Unknown)?;
            (slot.clone().ok_or(LiveError::Empty)?, inner.listeners.clone())
        };
        let of_list = |entry: &&Entry| entry.line.as_ref().is_some_and(|line| *line.list == *list);
        let mut new = Vec::new();
        let mut ocsp_update = false;
        for bound in &bounds {
            let (profile, last) = bound.listener.with_entries(|entries| {
                let lines = || entries.iter().filter(of_list);
                let is_same = |entry: &&Entry| {
                    entry.line.as_ref().is_some_and(|line| *line.options == *options)
                };
                let profile = lines().find(is_same).map(|entry| entry.profile.clone());
                (profile, lines().filter_map(|entry| Some(entry.line.as_ref()?.number)).max())
            });
            let Some(last) = last else { continue };
            let made = (bound.maker.0)(options).map_err(LiveError::Text)?;
            if slot.certificate().responder.is_some()
                && self.updates_differ(&slot, made.ocsp_update)
            {
                let text = "certificate has different parameter 'ocsp-update' elsewhere";
                return Err(LiveError::Text(text.to_owned()));
            }
            ocsp_update |= made.ocsp_update;
            let own = || options.is_empty().then(|| bound.listener.profile());
            let profile = profile.or_else(own).unwrap_or(made.profile);
            let line = crate::listener::Line {
                list: list.into(),
                number: last + 1,
                options: options.into(),
            };
            let entry = Entry {
                slot: slot.clone(),
                profile,
                filters: filters.to_vec(),
                default: false,
                line: Some(line),
            };
            new.push((bound, entry));
        }
        if new.is_empty() {
            return Err(LiveError::NoList);
        }
        for (bound, entry) in new {
            bound.listener.update(|entries| entries.push(entry));
        }
        if ocsp_update {
            self.update_ocsp_of(&slot.name);
        }
        Ok(())
    }

    /// `del ssl crt-list`: one line, by its certificate and, if given, its number.
    ///
    /// # Errors
    /// There is no such line, or it is a default.
    pub fn remove_line(
        &self,
        list: &str,
        certificate: &str,
        number: Option<usize>,
    ) -> Result<(), LiveError> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let mut numbers = Vec::new();
        let mut known = false;
        for bound in &inner.listeners {
            bound.listener.with_entries(|entries| {
                let lines = entries.iter().filter_map(|entry| Some((entry, entry.line.as_ref()?)));
                for (entry, line) in lines.filter(|(_, line)| *line.list == *list) {
                    known = true;
                    if *entry.slot.name == *certificate && !numbers.contains(&line.number) {
                        numbers.push(line.number);
                    }
                }
            });
        }
        let number = match (number, numbers.as_slice()) {
            _ if !known => return Err(LiveError::NoList),
            (_, []) => return Err(LiveError::Unknown),
            (None, [one]) => *one,
            (None, _) => return Err(LiveError::Several(numbers)),
            (Some(number), _) if numbers.contains(&number) => number,
            (Some(_), _) => return Err(LiveError::OtherLines(numbers)),
        };
        let is = |entry: &Entry| {
            *entry.slot.name == *certificate
                && entry
                    .line
                    .as_ref()
                    .is_some_and(|line| *line.list == *list && line.number == number)
        };
        let all = || {
            inner
                .listeners
                .iter()
                .filter(|bound| bound.listener.with_entries(|entries| entries.iter().any(is)))
        };
        let default = |bound: &Bound| {
            !bound.listener.is_strict()
                && bound.listener.with_entries(|entries| entries.iter().any(|e| is(e) && e.default))
        };
        let defaults: Vec<Bound> = all().filter(|bound| default(bound)).cloned().collect();
        if !defaults.is_empty() {
            return Err(LiveError::Default(defaults));
        }
        let mut gone = Vec::new();
        for bound in all() {
            bound.listener.update(|entries| {
                gone.extend(entries.iter().filter(|entry| is(entry)).map(|e| e.slot.clone()));
                entries.retain(|entry| !is(entry));
            });
        }
        gone.retain(|slot| !inner.is_used(slot));
        for slot in &gone {
            inner.ocsp_updated.remove(&*slot.name);
        }
        Ok(())
    }

    /// Every host name of every listener, of one frontend if it is given.
    #[must_use]
    pub fn snis(&self, frontend: Option<&str>) -> Vec<Sni> {
        let mut all = Vec::new();
        for bound in &self.inner.lock().listeners {
            if frontend.is_some_and(|name| *bound.frontend != *name) {
                continue;
            }
            let strict = bound.listener.is_strict();
            bound.listener.with_entries(|entries| {
                for entry in entries {
                    let certificate = entry.slot.certificate();
                    let (mut names, mut except) = (Vec::new(), Vec::new());
                    for filter in &entry.filters {
                        match filter {
                            Filter::Any => {}
                            Filter::Is(name) => names.push(name.to_string()),
                            Filter::Not(name) => except.push(name.to_string()),
                        }
                    }
                    if names.is_empty() && !entry.filters.contains(&Filter::Any) {
                        names.extend(certificate.names.iter().map(|name| name.to_string()));
                    }
                    if !strict && (entry.default || entry.filters.contains(&Filter::Any)) {
                        names.insert(0, "*".to_owned());
                    }
                    all.extend(names.into_iter().map(|name| Sni {
                        frontend: bound.frontend.clone(),
                        place: bound.place.clone(),
                        name,
                        except: except.clone(),
                        file: entry.slot.name.clone(),
                        certificate: certificate.clone(),
                    }));
                }
            });
        }
        all
    }
}

impl Inner {
    /// The certificate of this name, which may be one below `crt-base`.
    fn named(&self, name: &str) -> Option<&Option<Arc<Slot>>> {
        let below = || self.slots.get(&format!("{}/{name}", self.base.as_ref()?));
        self.slots.get(name).or_else(below)
    }
}
