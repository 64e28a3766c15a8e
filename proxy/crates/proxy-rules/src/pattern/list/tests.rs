use super::*;
use crate::pattern::PatternLists;
use crate::sample::example::Traffic;
use crate::sample::{Loader, NoFiles};

struct Map(&'static str);

impl Loader for Map {
    fn load(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.as_bytes().to_vec())
    }
}

fn find(matcher: &Matcher, text: &'static str) -> Option<String> {
    let traffic = Traffic::new();
    let cx = traffic.context();
    matcher.find(Sample::Str(text.as_bytes()), &cx, |entry, _| {
        let value = entry.with_value(<[u8]>::to_vec).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    })
}

#[track_caller]
fn check(matcher: &Matcher, text: &'static str, expected: Option<&str>) {
    assert_eq!(find(matcher, text).as_deref(), expected, "{text}");
}

fn map(content: &'static str, method: Method) -> (Arc<PatternList>, Arc<Matcher>) {
    let lists = PatternLists::default();
    let list = lists.named("x.map", true, &Map(content)).unwrap();
    let matcher = list.user(method, false, Output::Str, true, "").unwrap();
    (list, matcher)
}

#[test]
fn changes_show_at_once() {
    let (list, matcher) = map("/a va\n/ab vab\n/a dup\n", Method::Str);
    check(&matcher, "/a", Some("va"));
    list.set(Target::Key(b"/a"), b"new").unwrap();
    check(&matcher, "/a", Some("new"));
    let second = list.entries(None)[2].id();
    list.set(Target::Id(second), b"second").unwrap();
    let first = list.entries(None)[0].id();
    list.delete(Target::Id(first)).unwrap();
    check(&matcher, "/a", Some("second"));
    list.delete(Target::Key(b"/a")).unwrap();
    check(&matcher, "/a", None);
    assert_eq!(list.delete(Target::Key(b"/a")), Err(ListError::NoSuchKey));
    assert_eq!(list.set(Target::Key(b"/a"), b""), Err(ListError::NoSuchEntry));
    list.put(b"/a", Some(b"1")).unwrap();
    list.put(b"/a", Some(b"2")).unwrap();
    check(&matcher, "/a", Some("2"));
    assert_eq!(list.entries(None).len(), 2);
}

#[test]
fn versions() {
    let (list, matcher) = map("a 1\nb 2\n", Method::Str);
    assert_eq!(list.commit(1), Err(ListError::VersionOutOfRange));
    assert_eq!(
        list.add(Some(1), &[(b"x", None)]),
        Err(ListError::VersionInTheFuture { map: true })
    );
    let (first, second) = (list.prepare(), list.prepare());
    assert_eq!((first, second), (1, 2));
    list.add(Some(1), &[(b"old", Some(b"1"))]).unwrap();
    list.add(Some(2), &[(b"c", Some(b"3")), (b"a", Some(b"4"))]).unwrap();
    check(&matcher, "c", None);
    assert_eq!(
        list.description(),
        "pattern loaded from file 'x.map' used without a user. curr_ver=0 next_ver=2 entry_cnt=5"
    );
    list.commit(2).unwrap();
    check(&matcher, "c", Some("3"));
    check(&matcher, "a", Some("4"));
    check(&matcher, "b", None);
    assert_eq!((list.versions(), list.entries(None).len()), ((2, 2), 2));
    assert!(list.entries(Some(1)).is_empty() && list.entries(Some(0)).is_empty());
    list.clear(None).unwrap();
    check(&matcher, "c", None);
}

#[test]
fn best_match_over_many_indices() {
    let (list, beg) = map("/ root\n", Method::Beg);
    let ip = map("10.0.0.0/8 net\n", Method::Ip);
    for i in 0..200 {
        list.add(None, &[(format!("/dir{i}/").as_bytes(), Some(b"dir"))]).unwrap();
    }
    list.add(None, &[(b"/dir7/x", Some(b"deep")), (b"/dir7/", Some(b"late"))]).unwrap();
    check(&beg, "/dir7/xyz", Some("deep"));
    check(&beg, "/dir7/y", Some("dir"));
    check(&beg, "/other", Some("root"));
    for i in 0..190 {
        list.delete(Target::Key(format!("/dir{i}/").as_bytes())).unwrap();
    }
    check(&beg, "/dir7/y", Some("root"));
    check(&beg, "/dir195/y", Some("dir"));
    ip.0.add(None, &[(b"10.1.0.0/16", Some(b"more"))]).unwrap();
    check(&ip.1, "10.1.2.3", Some("more"));
    check(&ip.1, "10.2.2.3", Some("net"));
}

#[test]
fn users_check_what_is_added() {
    let (list, _) = map("1.2.3.4 5\n", Method::Ip);
    let wrong = list.add(None, &[(b"5.6.7.8", Some(b"1")), (b"nohost", Some(b"1"))]);
    assert!(matches!(wrong, Err(ListError::Invalid(why)) if why.contains("nohost")));
    assert_eq!(list.entries(None).len(), 1);
    let numbers = list.user(Method::Ip, false, Output::Int, true, "").unwrap();
    check(&numbers, "1.2.3.4", Some("5"));
    let wrong = list.set(Target::Key(b"1.2.3.4"), b"x");
    assert_eq!(wrong, Err(ListError::Invalid("the value 'x' is not a number".into())));
    check(&numbers, "1.2.3.4", Some("5"));
}

#[test]
fn names_and_numbers() {
    let lists = PatternLists::default();
    let a = lists.named("file@a", true, &Map("")).unwrap();
    assert!(Arc::ptr_eq(&a, &lists.named("opt@a", true, &NoFiles).unwrap()));
    assert!(lists.named("a", false, &Map("")).unwrap_err().contains("two columns"));
    assert!(lists.named("b", true, &NoFiles).is_err());
    assert!(lists.named("opt@b", true, &NoFiles).unwrap().entries(None).is_empty());
    lists.named("virt@c", true, &NoFiles).unwrap();
    let inline = lists.inline(&[b"x".to_vec()], Some(1)).unwrap();
    assert!(lists.inline(&[], Some(1)).is_err());
    let ids: Vec<_> = lists.all().iter().map(|l| l.name().map(str::to_owned)).collect();
    assert_eq!(ids, [Some("a".into()), None, Some("virt@c".into()), Some("b".into())]);
    assert!(Arc::ptr_eq(&inline, &lists.find("#1").unwrap()));
    assert!(lists.find("virt@c").is_some() && lists.find("opt@b").is_some());
    assert!(lists.find("#9").is_none() && lists.find("nope").is_none());
}
