//! What keys do: a state machine without a terminal.

use ratatui::crossterm::event::KeyCode;
use ratatui::widgets::TableState;

use super::model::Model;

/// Which list the keys move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    Frontends,
    #[default]
    Servers,
}

/// A change that waits for a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `backend/server`
    pub(super) server: String,
    /// What it is to be: `drain`, `ready` or `maint`.
    pub(super) state: &'static str,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Quit,
    Do(Change),
}

/// What is shown of the model, and what was typed.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) list: List,
    pub(super) frontends: TableState,
    pub(super) servers: TableState,
    pub(super) asked: Option<Change>,
    /// The last line: an error, or what was done.
    pub(super) message: String,
}

impl Screen {
    /// Takes a key.
    pub(super) fn key(&mut self, code: KeyCode, model: &Model) -> Effect {
        if let Some(change) = self.asked.take() {
            return match code {
                KeyCode::Char('y' | 'Y') => Effect::Do(change),
                _ => {
                    self.message = "Nothing was changed.".into();
                    Effect::Nothing
                }
            };
        }
        self.message.clear();
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Effect::Quit,
            KeyCode::Tab | KeyCode::BackTab => {
                self.list = match self.list {
                    List::Frontends => List::Servers,
                    List::Servers => List::Frontends,
                }
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1, model),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, model),
            KeyCode::PageDown => self.step(10, model),
            KeyCode::PageUp => self.step(-10, model),
            KeyCode::Home => self.step(isize::MIN, model),
            KeyCode::End => self.step(isize::MAX, model),
            KeyCode::Char('d') => self.ask("drain", model),
            KeyCode::Char('e') => self.ask("ready", model),
            KeyCode::Char('m') => self.ask("maint", model),
            _ => {}
        }
        Effect::Nothing
    }

    fn step(&mut self, by: isize, model: &Model) {
        let (state, count) = match self.list {
            List::Frontends => (&mut self.frontends, model.frontends.len()),
            List::Servers => (&mut self.servers, model.servers.len()),
        };
        let Some(last) = count.checked_sub(1) else { return };
        let next = match state.selected() {
            None => 0,
            Some(now) => now.saturating_add_signed(by).min(last),
        };
        state.select(Some(next));
    }

    fn ask(&mut self, state: &'static str, model: &Model) {
        let chosen = match self.list {
            List::Servers => self.servers.selected().and_then(|index| model.servers.get(index)),
            List::Frontends => None,
        };
        match chosen {
            Some(server) => self.asked = Some(Change { server: server.name(), state }),
            None => self.message = "Choose a server first (Tab, arrows).".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::look;
    use super::*;

    #[test]
    fn a_change_needs_a_yes() {
        let mut model = Model::default();
        look(&mut model, 1, 1);
        let mut screen = Screen::default();
        let mut keys = |text: &str| {
            let effects = text.chars().map(|c| screen.key(KeyCode::Char(c), &model));
            let last = effects.last().unwrap();
            (last, screen.message.clone())
        };
        assert_eq!(keys("d").1, "Choose a server first (Tab, arrows).");
        let drained = Change { server: "app/s2".into(), state: "drain" };
        assert_eq!(keys("jjjdy").0, Effect::Do(drained));
        assert_eq!(keys("dn"), (Effect::Nothing, "Nothing was changed.".into()));
        let enabled = Change { server: "app/s1".into(), state: "ready" };
        assert_eq!(keys("key").0, Effect::Do(enabled));
        assert_eq!(keys("dq").0, Effect::Nothing);
        assert_eq!(keys("q").0, Effect::Quit);
    }

    #[test]
    fn lists_have_their_own_place() {
        let mut model = Model::default();
        look(&mut model, 1, 1);
        let mut screen = Screen::default();
        for code in [KeyCode::Down, KeyCode::End, KeyCode::Tab, KeyCode::Down, KeyCode::PageDown] {
            screen.key(code, &model);
        }
        assert_eq!((screen.servers.selected(), screen.frontends.selected()), (Some(1), Some(0)));
        assert_eq!(screen.key(KeyCode::Char('m'), &model), Effect::Nothing);
        assert!(screen.asked.is_none());
        screen.key(KeyCode::Tab, &model);
        screen.key(KeyCode::Home, &model);
        assert_eq!(screen.servers.selected(), Some(0));
        // A list that has become empty.
        screen.key(KeyCode::Down, &Model::default());
    }
}
