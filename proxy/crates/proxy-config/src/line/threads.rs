//! Words that name threads or CPUs: `1-4`, `odd`, `2/all`, `0-3,8` (configuration manual, 3.1 `cpu-map`, 5.1
//! `thread`).

use proxy_types::Spanned;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::lexer::{Word, between_commas};
use crate::model::{Numbers, ThreadSet};

/// Threads of a group at most.
pub(crate) const GROUP_THREADS: u32 = 64;
/// Thread groups at most.
pub(crate) const GROUPS: u32 = 32;
/// CPUs at most.
pub(crate) const CPUS: u32 = 4096;

/// `all`, `odd`, `even`, `5`, `1-4`, `3-`, `-8`; `None` when it is none of these. Bounds that are missing are `min`
/// and `max`.
pub(crate) fn numbers(text: &str, min: u32, max: u32) -> Option<Numbers> {
    let bound = |text: &str, default: u32| match text {
        "" => Some(default),
        text => text.parse().ok().filter(|n| (min..=max).contains(n)),
    };
    match text {
        "all" => return Some(Numbers::All),
        "even" => return Some(Numbers::Even),
        "odd" => return Some(Numbers::Odd),
        "" => return None,
        _ => {}
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (bound(first, min)?, bound(last, max)?),
        None => (bound(text, min)?, bound(text, max)?),
    };
    (first <= last).then_some(Numbers::Range { first, last })
}

/// The CPUs of comma separated numbers and ranges, of this word and all that follow, in ascending order.
pub(crate) fn cpus(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Vec<u32>> {
    let mut list = Vec::new();
    let mut word = args.word(cx, "CPU numbers and ranges such as '0-3,8'")?;
    loop {
        for text in between_commas(word) {
            match numbers(text.value, 0, CPUS - 1) {
                Some(Numbers::Range { first, last }) => {
                    // Without an end, as many as a group can have threads.
                    let open = text.ends_with('-');
                    list.extend(first..=if open { last.min(GROUP_THREADS - 1) } else { last });
                }
                _ => {
                    let message = format!("'{text}' is not a CPU number or a range of them");
                    return Err(args.wrong(cx, text.span, message));
                }
            }
        }
        match args.optional() {
            Some(next) => word = next,
            None => break,
        }
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// `[<group>/]<set>[,...]` of `thread` on `bind` lines. `nbthread` is not known yet: open ends have no bound.
pub(crate) fn thread_sets(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    word: &Word,
) -> Parsed<Vec<ThreadSet>> {
    const MAX: u32 = crate::limits::THREADS_MAX;
    let mut list: Vec<ThreadSet> = Vec::new();
    for Spanned { value: text, span } in between_commas(word) {
        let (group, threads) = match text.split_once('/') {
            Some((group, "")) => (numbers(group, 1, GROUPS), Some(Numbers::All)),
            Some((group, set)) => (numbers(group, 1, GROUPS), numbers(set, 1, GROUP_THREADS)),
            None => (None, numbers(text, 1, MAX)),
        };
        let grouped = text.contains('/');
        let (Some(threads), true) = (threads, group.is_some() || !grouped) else {
            let message = format!(
                "'{text}' is not [<group>/]<threads>, where <threads> is 'all', 'odd', 'even' or <number>[-<number>]"
            );
            return Err(args.wrong(cx, span, message));
        };
        if list.first().is_some_and(|first| first.group.is_some() != grouped) {
            let message = "group-relative and absolute thread numbers cannot be mixed";
            return Err(args.wrong(cx, span, message));
        }
        list.push(ThreadSet { group, threads });
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_numbers() {
        let range = |first, last| Some(Numbers::Range { first, last });
        for (text, expected) in [
            ("all", Some(Numbers::All)),
            ("odd", Some(Numbers::Odd)),
            ("even", Some(Numbers::Even)),
            ("5", range(5, 5)),
            ("1-4", range(1, 4)),
            ("3-", range(3, 64)),
            ("-8", range(1, 8)),
            ("", None),
            ("0", None),
            ("65", None),
            ("4-3", None),
            ("x", None),
        ] {
            assert_eq!(numbers(text, 1, 64), expected, "{text}");
        }
        assert!(Numbers::Odd.contains(3) && !Numbers::Odd.contains(2));
    }
}
