//! How `top` looks: 80 columns and 24 lines are enough, more room shows more.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::model::{Model, Object};
use super::screen::{List, Screen};
use crate::ctl::table;

const HELP: &str = "Tab list  arrows choose  d drain  e enable  m maintenance  q quit";
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns behind the name: title, width.
const COLUMNS: [(&str, u16); 7] = [
    ("STATUS", 8),
    ("DETAIL", 9),
    ("SESS", 6),
    ("QUEUE", 5),
    ("REQ/S", 6),
    ("IN/S", 5),
    ("OUT/S", 5),
];
/// Width of the name and of the sparkline on a terminal of 80 columns.
const NAME: u16 = 19;

/// Draws everything. Without `colours` the choice and the states are told by weight only.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, screen: &mut Screen, colours: bool) {
    let lists = model.frontends.len().min(usize::from(u16::MAX)) as u16 + 1;
    // The servers get at least half of the room.
    let upper = lists.min((frame.area().height.saturating_sub(4)) / 2).max(2);
    let [head, first, second, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(upper + 1),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(model), head);
    let focus = screen.list;
    let mut table = |area, title, objects: &[Object], state: &mut TableState, list| {
        let table = list_of(title, objects, area, colours, focus == list);
        frame.render_stateful_widget(table, area, state);
    };
    table(first, "FRONTEND", &model.frontends, &mut screen.frontends, List::Frontends);
    table(second, "SERVER", &model.servers, &mut screen.servers, List::Servers);
    let text = match &screen.asked {
        Some(change) => format!("Set {} to {}? (y/n)", change.server, change.state),
        None if screen.message.is_empty() => HELP.into(),
        None => screen.message.clone(),
    };
    let weight = if screen.asked.is_some() { Modifier::REVERSED } else { Modifier::empty() };
    frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(weight)), foot);
}

fn header(model: &Model) -> Paragraph<'static> {
    let fact = |name: &str| model.fact(name).to_owned();
    Paragraph::new(Text::from(vec![
        Line::from(format!(
            "{} {}  pid {}  up {}  idle {}%",
            fact("Name"),
            fact("Version"),
            fact("Pid"),
            fact("Uptime"),
            fact("Idle_pct")
        )),
        Line::from(format!(
            "connections {} of {}  {}/s  sessions {}/s  TLS {}/s",
            fact("CurrConns"),
            fact("Maxconn"),
            fact("ConnRate"),
            fact("SessRate"),
            fact("SslRate")
        )),
    ]))
}

fn list_of<'a>(
    title: &'a str,
    objects: &'a [Object],
    area: Rect,
    colours: bool,
    focused: bool,
) -> Table<'a> {
    let fixed: u16 = COLUMNS.iter().map(|(_, width)| width + 1).sum();
    // What is left is shared by the name and the sparkline.
    let name = NAME.max(area.width.saturating_sub(fixed) / 2);
    let spark = area.width.saturating_sub(fixed + name + 1);
    let widths = [name].into_iter().chain(COLUMNS.iter().map(|(_, width)| *width));
    let widths: Vec<_> = widths.chain([spark]).map(Constraint::Length).collect();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let head = if focused { bold.add_modifier(Modifier::UNDERLINED) } else { bold };
    let titles = [title].into_iter().chain(COLUMNS.iter().map(|(title, _)| *title));
    let rows = objects.iter().map(move |object| {
        let number = |value: f64| table::bytes(&format!("{value:.0}"));
        let rate =
            if object.rates.requests > 0.0 { object.rates.requests } else { object.rates.sessions };
        let right = |text: String| Cell::from(Line::from(text).right_aligned());
        Row::new([
            Cell::from(object.name()),
            Cell::from(object.status.clone()).style(paint(&object.status, colours)),
            Cell::from(object.detail.clone()),
            right(object.sessions.clone()),
            right(object.queue.clone()),
            right(format!("{rate:.0}")),
            right(number(object.rates.bytes_in)),
            right(number(object.rates.bytes_out)),
            Cell::from(sparkline(&object.history, usize::from(spark))),
        ])
    });
    let chosen = if focused { Modifier::REVERSED } else { Modifier::empty() };
    Table::new(rows, widths)
        .header(Row::new(titles).style(head))
        .row_highlight_style(Style::new().add_modifier(chosen))
}

fn paint(status: &str, colours: bool) -> Style {
    let (colour, heavy) = match status.split(' ').next().unwrap_or_default() {
        "UP" | "OPEN" => (Color::Green, false),
        "DOWN" | "STOP" => (Color::Red, true),
        "MAINT" | "PAUSED" => (Color::Yellow, true),
        "DRAIN" | "NOLB" | "FULL" => (Color::Cyan, true),
        _ => return Style::new(),
    };
    match (colours, heavy) {
        (true, _) => Style::new().fg(colour),
        (false, true) => Style::new().add_modifier(Modifier::BOLD),
        (false, false) => Style::new(),
    }
}

/// The last values as bars, the highest of them full.
fn sparkline(history: &VecDeque<u64>, width: usize) -> String {
    let shown = history.iter().skip(history.len().saturating_sub(width));
    let most = shown.clone().max().copied().unwrap_or(0);
    let bar = |value: &u64| match (value * 7).checked_div(most) {
        Some(height) => BARS[usize::try_from(height).unwrap_or(0).min(7)],
        None => BARS[0],
    };
    shown.map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::look;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn lines(width: u16, height: u16, colours: bool) -> (Vec<String>, bool) {
        let mut model = Model::default();
        for at in 0..30 {
            look(&mut model, at * at * 10, at);
        }
        let mut screen = Screen::default();
        screen.servers.select(Some(1));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &model, &mut screen, colours)).unwrap();
        let buffer = terminal.backend().buffer();
        let painted = buffer.content().iter().any(|cell| cell.fg != Color::Reset);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        ((0..height).map(|y| row(y).trim_end().to_owned()).collect(), painted)
    }

    #[test]
    fn eighty_columns_are_enough() {
        let (lines, painted) = lines(80, 24, true);
        assert!(painted);
        assert!(lines[0].starts_with("Sluice 0.1.0  pid -  up 0d 0h01m05s"), "{lines:#?}");
        assert!(lines[2].starts_with("FRONTEND"), "{lines:#?}");
        assert!(lines[3].starts_with("web ") && lines[3].contains("l4 (tc)"), "{lines:#?}");
        // Most at the end.
        assert!(lines[3].contains(" 570 ") && lines[3].ends_with('█'), "{lines:#?}");
        let servers = lines.iter().position(|line| line.starts_with("SERVER")).unwrap();
        assert!(lines[servers + 2].starts_with("app/s2") && lines[servers + 2].contains("DOWN"));
        assert_eq!(lines[23], HELP);
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn no_colour_when_none_is_wanted_and_no_panic_in_a_corner() {
        assert!(!lines(80, 24, false).1);
        for (width, height) in [(1, 1), (10, 3), (200, 60)] {
            lines(width, height, true);
        }
    }

    #[test]
    fn bars_show_what_there_is_room_for() {
        assert_eq!(sparkline(&VecDeque::from([0, 7, 14]), 2), "▄█");
        assert_eq!(sparkline(&VecDeque::from([0, 0]), 9), "▁▁");
        assert_eq!(sparkline(&VecDeque::new(), 9), "");
    }
}
