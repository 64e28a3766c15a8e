//! The rise/fall machine.
//!
//! ```text
//!  0 ... rise-1 | rise ... rise+fall-1
//!      down     |        up
//! ```
//! A success adds one, and a success at or above `rise` jumps to the top: the server is up with all its credit. A failure takes
//! one away, and the failure at `rise` drops to 0: the server is down and has to earn `rise` successes in a row.

use super::InitState;

/// Health of a server between 0 and `rise + fall - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    rise: u32,
    fall: u32,
    value: u32,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// Nothing that matters to traffic.
    None,
    WentUp,
    WentDown,
}

impl Health {
    /// Up, but down at the first failure: the state before the first check and when leaving maintenance.
    /// A `rise` or `fall` of 0 counts as 1.
    pub fn new(rise: u32, fall: u32) -> Self {
        let rise = rise.max(1);
        Self { rise, fall: fall.max(1), value: rise }
    }

    pub fn rise(self) -> u32 {
        self.rise
    }

    pub fn fall(self) -> u32 {
        self.fall
    }

    /// `check_health` of the statistics.
    pub fn value(self) -> u32 {
        self.value
    }

    fn top(self) -> u32 {
        self.rise.saturating_add(self.fall - 1)
    }

    pub fn is_up(self) -> bool {
        self.value >= self.rise
    }

    /// Up and down counts towards the other state: `(done, needed)`, `None` when there is nothing to show.
    /// Up: failures left of `fall`. Down: successes so far of `rise`.
    pub fn progress(self) -> Option<(u32, u32)> {
        if self.is_up() {
            (self.value < self.top()).then(|| (self.value - self.rise + 1, self.fall))
        } else {
            (self.value > 0).then_some((self.value, self.rise))
        }
    }

    /// Whether the last result still moves the value: the checker then uses `fastinter`.
    pub fn is_changing(self) -> bool {
        self.value != 0 && self.value != self.top()
    }

    #[must_use]
    pub fn passed(&mut self) -> HealthChange {
        if self.value >= self.top() {
            return HealthChange::None;
        }
        let was_up = self.is_up();
        self.value += 1;
        if self.is_up() {
            self.value = self.top();
        }
        if !was_up && self.is_up() { HealthChange::WentUp } else { HealthChange::None }
    }

    #[must_use]
    pub fn failed(&mut self) -> HealthChange {
        if self.value > self.rise {
            self.value -= 1;
            return HealthChange::None;
        }
        let was_up = self.is_up();
        self.value = 0;
        if was_up { HealthChange::WentDown } else { HealthChange::None }
    }

    /// All credit: forced up.
    pub fn force_up(&mut self) {
        self.value = self.top();
    }

    /// No credit: forced down, or in maintenance.
    pub fn force_down(&mut self) {
        self.value = 0;
    }

    /// A value kept from before, on the side that the server is on.
    pub(super) fn set(&mut self, value: u32, up: bool) {
        self.value = match up {
            true => value.clamp(self.rise, self.top()),
            false => value.min(self.rise - 1),
        };
    }

    /// The state that a server begins with.
    pub fn reset(&mut self, state: InitState) {
        self.value = match state {
            InitState::FullyDown => 0,
            InitState::Down => self.rise - 1,
            InitState::Up => self.rise,
            InitState::FullyUp => self.top(),
        };
    }

    /// The next failure takes the server down: `on-error sudden-death`.
    pub fn on_the_edge(&mut self) {
        if self.is_up() {
            self.value = self.rise;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds results (`+` passed, `-` failed) and compares `value` and state after each: `5u`, `0d`.
    #[track_caller]
    fn check(rise: u32, fall: u32, results: &str, expected: &str) {
        let mut health = Health::new(rise, fall);
        let seen: Vec<String> = results
            .chars()
            .map(|c| {
                let change = if c == '+' { health.passed() } else { health.failed() };
                let mark = match change {
                    HealthChange::None => "",
                    HealthChange::WentUp => "^",
                    HealthChange::WentDown => "v",
                };
                format!("{}{mark}", health.value())
            })
            .collect();
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn rises_and_falls() {
        check(2, 3, "-", "0v");
        check(2, 3, "+", "4");
        check(2, 3, "--++++", "0v 0 1 4^ 4 4");
        check(2, 3, "+---", "4 3 2 0v");
        check(2, 3, "+--+-", "4 3 2 4 3");
        check(2, 3, "-++", "0v 1 4^");
        check(2, 3, "-+-++", "0v 1 0 1 4^");
        check(1, 1, "-+-+", "0v 1^ 0v 1^");
        check(1, 3, "-+--+---", "0v 3^ 2 1 3 2 1 0v");
        check(3, 1, "-+++-", "0v 1 2 3^ 0v");
    }

    #[test]
    fn progress_is_what_the_status_shows() {
        let mut health = Health::new(2, 3);
        assert_eq!(health.progress(), Some((1, 3)));
        health.force_up();
        assert_eq!(health.progress(), None);
        let _ = health.failed();
        assert_eq!(health.progress(), Some((2, 3)));
        health.force_down();
        assert_eq!(health.progress(), None);
        let _ = health.passed();
        assert_eq!(health.progress(), Some((1, 2)));
    }
}
