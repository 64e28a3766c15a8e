//! The statistics of nameservers: `show stat domain resolvers` (management manual, 9.3 "show stat").

use std::fmt::Write;

use proxy_names::{NameserverView, SectionView};

use super::{Tags, Value, csv, json, typed};

/// Columns before the counters: name, tags, description.
const KEYS: [(&str, Tags, &str); 2] =
    [("id", "CGPV", "Name of the nameserver"), ("pid", "CGPV", "Name of its section")];
const COUNTER: Tags = "MGPV";

/// What is said of one column.
struct Field {
    name: &'static str,
    tags: Tags,
    doc: String,
    value: Value,
}

fn fields(section: &str, nameserver: &NameserverView) -> Vec<Field> {
    let names = [nameserver.name.clone(), section.to_owned()];
    let keys = KEYS.iter().zip(names).map(|((name, tags, doc), value)| Field {
        name,
        tags,
        doc: (*doc).to_owned(),
        value: value.into(),
    });
    let counters = nameserver.counters.iter().map(|(name, value)| Field {
        name,
        tags: COUNTER,
        doc: format!("Number of events '{name}'"),
        value: (*value).into(),
    });
    keys.chain(counters).collect()
}

fn rows(sections: &[SectionView]) -> impl Iterator<Item = Vec<Field>> {
    sections.iter().flat_map(|s| s.nameservers.iter().map(|n| fields(&s.name, n)))
}

/// A line of titles, and one per nameserver.
pub fn csv(sections: &[SectionView]) -> String {
    let mut text = String::from("# ");
    let titles = KEYS.iter().map(|(name, ..)| *name).chain(proxy_names::COUNTERS.iter().copied());
    titles.for_each(|name| text.extend([name, ","]));
    text.push('\n');
    for row in rows(sections) {
        for field in row {
            csv::push_field(&mut text, &field.value);
            text.push(',');
        }
        text.push('\n');
    }
    text
}

/// A line per value.
pub fn typed(sections: &[SectionView], desc: bool) -> String {
    let mut text = String::new();
    for row in rows(sections) {
        for (position, field) in row.iter().enumerate() {
            let _ = write!(text, "N.{position}.{}:", field.name);
            typed::finish(&mut text, field.tags, &field.value, desc.then_some(&field.doc));
        }
    }
    text
}

/// An array of values per nameserver.
pub fn json(sections: &[SectionView]) -> String {
    let rows: Vec<String> = rows(sections)
        .map(|row| {
            let fields = row.iter().enumerate().map(|(position, field)| {
                let mut text = String::from("{");
                json::finish(&mut text, position, field.name, None, field.tags, &field.value);
                text
            });
            format!("[{}]", fields.collect::<Vec<_>>().join(","))
        })
        .collect();
    format!("[{}]\n", rows.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Vec<SectionView> {
        let nameserver = |name: &str, sent| NameserverView {
            name: name.to_owned(),
            addr: "127.0.0.1:53".parse().unwrap(),
            counters: proxy_names::COUNTERS
                .iter()
                .map(|n| (*n, if *n == "sent" { sent } else { 0 }))
                .collect(),
        };
        vec![SectionView {
            name: "dns".to_owned(),
            nameservers: vec![nameserver("a,b", 7), nameserver("c", 0)],
        }]
    }

    /// As HAProxy 2.6 writes them.
    #[test]
    fn rows_have_the_form_of_haproxy() {
        let text = csv(&sections());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "# id,pid,sent,send_error,valid,update,cname,cname_error,any_err,nx,timeout,refused,\
             other,invalid,too_big,truncated,outdated,"
        );
        assert_eq!(lines[1], "\"a,b\",dns,7,0,0,0,0,0,0,0,0,0,0,0,0,0,0,");
        assert_eq!(lines.len(), 3);
        assert!(csv(&[]).starts_with("# id,") && csv(&[]).lines().count() == 1);
    }

    #[test]
    fn values_are_told_one_by_one() {
        let text = typed(&sections(), true);
        assert!(text.contains("N.0.id:CGPV:str:c:\"Name of the nameserver\"\n"), "{text}");
        assert!(text.contains("N.2.sent:MGPV:u64:7:\"Number of"), "{text}");
        let text = json(&sections());
        let begin = "[[{\"field\":{\"pos\":0,\"name\":\"id\"},\"tags\":{\"origin\":\"Config\",";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with("}}]]\n") && text.contains("}}],[{"), "{text}");
        assert_eq!(json(&[]), "[]\n");
    }
}
