//! Maps (configuration manual, 7.3.1 "map").

use crate::pattern::{Matcher, Method, Output};
use crate::regex::expand;
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

use super::string::made;

const fn map(method: Method, output: Output) -> ArgDef {
    req(ArgKind::Map(method, output))
}

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "map",
        &[map(Method::Str, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the text in a map that matches.",
    )
    .eg(&[("str(a),map(virt@none,x)", Some("x")), ("str(a),map(virt@none)", None)]),
    ConvDef::new(
        "map_beg",
        &[map(Method::Beg, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the prefix in a map that matches.",
    )
    .eg(&[("path,map_beg(virt@none,x)", Some("x")), ("path,map_beg(virt@none)", None)]),
    ConvDef::new(
        "map_beg_int",
        &[map(Method::Beg, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the prefix in a map that matches.",
    )
    .eg(&[("path,map_beg_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_beg_ip",
        &[map(Method::Beg, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the prefix in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("path,map_beg_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_beg_key",
        &[map(Method::Beg, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the prefix in a map that matches.",
    )
    .eg(&[("path,map_beg_key(virt@none)", None)]),
    ConvDef::new(
        "map_dir",
        &[map(Method::Dir, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the part of a path in a map that matches.",
    )
    .eg(&[("path,map_dir(virt@none,x)", Some("x")), ("path,map_dir(virt@none)", None)]),
    ConvDef::new(
        "map_dir_int",
        &[map(Method::Dir, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the part of a path in a map that matches.",
    )
    .eg(&[("path,map_dir_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_dir_ip",
        &[map(Method::Dir, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the part of a path in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("path,map_dir_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_dir_key",
        &[map(Method::Dir, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the part of a path in a map that matches.",
    )
    .eg(&[("path,map_dir_key(virt@none)", None)]),
    ConvDef::new(
        "map_dom",
        &[map(Method::Dom, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the part of a domain name in a map that matches.",
    )
    .eg(&[
        ("req.hdr(host),map_dom(virt@none,x)", Some("x")),
        ("req.hdr(host),map_dom(virt@none)", None),
    ]),
    ConvDef::new(
        "map_dom_int",
        &[map(Method::Dom, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the part of a domain name in a map that matches.",
    )
    .eg(&[("req.hdr(host),map_dom_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_dom_ip",
        &[map(Method::Dom, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the part of a domain name in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("req.hdr(host),map_dom_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_dom_key",
        &[map(Method::Dom, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the part of a domain name in a map that matches.",
    )
    .eg(&[("req.hdr(host),map_dom_key(virt@none)", None)]),
    ConvDef::new(
        "map_end",
        &[map(Method::End, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the suffix in a map that matches.",
    )
    .eg(&[("path,map_end(virt@none,x)", Some("x")), ("path,map_end(virt@none)", None)]),
    ConvDef::new(
        "map_end_int",
        &[map(Method::End, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the suffix in a map that matches.",
    )
    .eg(&[("path,map_end_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_end_ip",
        &[map(Method::End, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the suffix in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("path,map_end_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_end_key",
        &[map(Method::End, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the suffix in a map that matches.",
    )
    .eg(&[("path,map_end_key(virt@none)", None)]),
    ConvDef::new(
        "map_int",
        &[map(Method::Int, Output::Str), opt(ArgKind::Str)],
        Type::Sint,
        Type::Str,
        map_str,
        "Gives the value of the number or range in a map that matches.",
    )
    .eg(&[("int(5),map_int(virt@none,x)", Some("x")), ("int(5),map_int(virt@none)", None)]),
    ConvDef::new(
        "map_int_int",
        &[map(Method::Int, Output::Int), opt(ArgKind::Int)],
        Type::Sint,
        Type::Sint,
        map_int,
        "Gives the number of the number or range in a map that matches.",
    )
    .eg(&[("int(5),map_int_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_int_ip",
        &[map(Method::Int, Output::Addr), opt(ArgKind::Str)],
        Type::Sint,
        Type::Addr,
        map_addr,
        "Gives the address of the number or range in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("int(5),map_int_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_int_key",
        &[map(Method::Int, Output::None)],
        Type::Sint,
        Type::Str,
        map_key,
        "Gives the pattern of the number or range in a map that matches.",
    )
    .eg(&[("int(5),map_int_key(virt@none)", None)]),
    ConvDef::new(
        "map_ip",
        &[map(Method::Ip, Output::Str), opt(ArgKind::Str)],
        Type::Addr,
        Type::Str,
        map_str,
        "Gives the value of the network in a map that matches.",
    )
    .eg(&[("src,map_ip(virt@none,x)", Some("x")), ("src,map_ip(virt@none)", None)]),
    ConvDef::new(
        "map_ip_int",
        &[map(Method::Ip, Output::Int), opt(ArgKind::Int)],
        Type::Addr,
        Type::Sint,
        map_int,
        "Gives the number of the network in a map that matches.",
    )
    .eg(&[("src,map_ip_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_ip_ip",
        &[map(Method::Ip, Output::Addr), opt(ArgKind::Str)],
        Type::Addr,
        Type::Addr,
        map_addr,
        "Gives the address of the network in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("src,map_ip_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_ip_key",
        &[map(Method::Ip, Output::None)],
        Type::Addr,
        Type::Str,
        map_key,
        "Gives the pattern of the network in a map that matches.",
    )
    .eg(&[("src,map_ip_key(virt@none)", None)]),
    ConvDef::new(
        "map_reg",
        &[map(Method::Reg, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the regular expression in a map that matches.",
    )
    .eg(&[("path,map_reg(virt@none,x)", Some("x")), ("path,map_reg(virt@none)", None)]),
    ConvDef::new(
        "map_reg_int",
        &[map(Method::Reg, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the regular expression in a map that matches.",
    )
    .eg(&[("path,map_reg_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_reg_ip",
        &[map(Method::Reg, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the regular expression in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("path,map_reg_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_reg_key",
        &[map(Method::Reg, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the regular expression in a map that matches.",
    )
    .eg(&[("path,map_reg_key(virt@none)", None)]),
    ConvDef::new(
        "map_regm",
        &[map(Method::Reg, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_regm,
        "Gives the value of the regular expression in a map that matches, with its groups put in.",
    )
    .eg(&[("path,map_regm(virt@none,x)", Some("x")), ("path,map_regm(virt@none)", None)]),
    ConvDef::new(
        "map_str",
        &[map(Method::Str, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the text in a map that matches.",
    )
    .eg(&[("str(a),map_str(virt@none,x)", Some("x")), ("str(a),map_str(virt@none)", None)]),
    ConvDef::new(
        "map_str_int",
        &[map(Method::Str, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the text in a map that matches.",
    )
    .eg(&[("str(a),map_str_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_str_ip",
        &[map(Method::Str, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the text in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("str(a),map_str_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_str_key",
        &[map(Method::Str, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the text in a map that matches.",
    )
    .eg(&[("str(a),map_str_key(virt@none)", None)]),
    ConvDef::new(
        "map_sub",
        &[map(Method::Sub, Output::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        map_str,
        "Gives the value of the text inside in a map that matches.",
    )
    .eg(&[("path,map_sub(virt@none,x)", Some("x")), ("path,map_sub(virt@none)", None)]),
    ConvDef::new(
        "map_sub_int",
        &[map(Method::Sub, Output::Int), opt(ArgKind::Int)],
        Type::Str,
        Type::Sint,
        map_int,
        "Gives the number of the text inside in a map that matches.",
    )
    .eg(&[("path,map_sub_int(virt@none,7)", Some("7"))]),
    ConvDef::new(
        "map_sub_ip",
        &[map(Method::Sub, Output::Addr), opt(ArgKind::Str)],
        Type::Str,
        Type::Addr,
        map_addr,
        "Gives the address of the text inside in a map that matches.",
    )
    .check(check_addr)
    .eg(&[("path,map_sub_ip(virt@none,192.0.2.7)", Some("192.0.2.7"))]),
    ConvDef::new(
        "map_sub_key",
        &[map(Method::Sub, Output::None)],
        Type::Str,
        Type::Str,
        map_key,
        "Gives the pattern of the text inside in a map that matches.",
    )
    .eg(&[("path,map_sub_key(virt@none)", None)]),
];

fn matcher(args: &Args) -> Option<&Matcher> {
    match args.get(0) {
        Arg::Map(matcher) => Some(matcher),
        _ => None,
    }
}

/// The value of the best match in scratch memory.
fn value<'a>(cx: &EvalCtx<'a>, args: &Args, value: Sample<'a>) -> Option<&'a [u8]> {
    let copy = |text: &[u8]| cx.scratch.alloc_slice_copy(text) as &[u8];
    matcher(args)?.find(value, cx, |entry, _| entry.with_value(copy))?
}

fn map_str<'a>(cx: &EvalCtx<'a>, args: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    value(cx, args, input).or_else(|| args.str(1)).map(Sample::Str)
}

fn map_regm<'a>(cx: &EvalCtx<'a>, args: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    let text = input.str(cx.scratch)?;
    let found = matcher(args)?.find(input, cx, |entry, regex| {
        let groups = regex?.captures(text)?;
        entry.with_value(|template| {
            made(cx, template.len() + text.len(), |out| {
                expand(template, &groups, |piece| out.extend_from_slice(piece));
            })
        })?
    });
    found.flatten().or_else(|| args.str(1)).map(Sample::Str)
}

fn map_int<'a>(cx: &EvalCtx<'a>, args: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let found = matcher(args)?.find(input, cx, |entry, _| entry.with_value(number));
    found.flatten().flatten().or_else(|| args.int(1)).map(Sample::Int)
}

fn map_addr<'a>(cx: &EvalCtx<'a>, args: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    let addr = |text: &[u8]| Sample::Str(text).addr();
    let found = matcher(args)?.find(input, cx, |entry, _| entry.with_value(addr));
    match found.flatten().flatten() {
        Some(ip) => Some(Sample::from(ip)),
        None => args.addr(1).map(Sample::from),
    }
}

fn map_key<'a>(cx: &EvalCtx<'a>, args: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    let copy = |text: &[u8]| cx.scratch.alloc_slice_copy(text) as &[u8];
    matcher(args)?.find(input, cx, |entry, _| copy(entry.key())).map(Sample::Str)
}

fn check_addr(args: &mut Args) -> Result<(), String> {
    let Some(text) = args.str(1) else { return Ok(()) };
    let ip = Sample::Str(text).addr().ok_or("the default must be an IP address")?;
    args.0[1] = Arg::from(ip);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::pattern::PatternLists;
    use crate::sample::example::Traffic;
    use crate::sample::{Loader, NoFiles};

    struct Files;

    impl Loader for Files {
        fn load(&self, name: &str) -> Result<Vec<u8>, String> {
            Ok(match name {
                "hosts" => b"# hosts\nwww.example.com first\nexample.com second value \n".to_vec(),
                "nets" => b"192.0.2.0/24 10.0.0.1\n192.0.2.10 ::1\n".to_vec(),
                "paths" => b"^/(.)/(.*)\\.png$ \\2-\\1\n/ slash".to_vec(),
                "numbers" => b"1:9 10\n5 20\n".to_vec(),
                _ => return NoFiles.load(name),
            })
        }
    }

    #[track_caller]
    fn check(expr: &str, expected: Result<Option<&str>, &str>) {
        let got = Traffic::new().eval_with(expr, &PatternLists::default(), &Files);
        let got = got.as_ref().map(Option::as_deref).map_err(String::as_str);
        assert_eq!(got, expected, "{expr}");
    }

    #[test]
    fn outputs() {
        check("req.hdr(host),map_dom(hosts)", Ok(Some("first")));
        check("req.hdr(host),map_dom_key(hosts)", Ok(Some("www.example.com")));
        check("str(x.example.com),map_end(hosts)", Ok(Some("second value")));
        check("src,map_ip(nets)", Ok(Some("::1")));
        check("src,map_ip_ip(nets)", Ok(Some("::1")));
        check("ipv4(192.0.2.3),map_ip_ip(nets)", Ok(Some("10.0.0.1")));
        check("ipv4(192.0.3.3),map_ip(nets,none)", Ok(Some("none")));
        check("path,map_regm(paths)", Ok(Some("b-a")));
        check("path,map_reg(paths)", Ok(Some("\\2-\\1")));
        check("int(5),map_int_int(numbers),add(1)", Ok(Some("11")));
        check("int(99),map_int_int(numbers,3)", Ok(Some("3")));
        check("str(9),map(numbers,3)", Ok(Some("3")));
        check(
            "path,map(nofile)",
            Err(
                "invalid argument 1 for converter 'map': failed to open 'nofile': files cannot be read here",
            ),
        );
        check(
            "int(1),map_int_int(hosts)",
            Err(
                "invalid argument 1 for converter 'map_int_int': in 'hosts' line 2: the value 'first' is not a number",
            ),
        );
        check(
            "str(1),map_ip_ip(nets,x)",
            Err("invalid args in converter 'map_ip_ip': the default must be an IP address"),
        );
    }
}
