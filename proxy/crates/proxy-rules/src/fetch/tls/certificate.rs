//! Fields of certificates (configuration manual, 7.3.4).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{Back, Client, Front, Holder, Own, Server, Side};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};
use crate::x509::{self, NameForm};

/// Attribute, occurrence, form.
const DN: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Int), opt(ArgKind::Str)];
const OID: &[ArgDef] = &[opt(ArgKind::Str)];

pub(in crate::fetch) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "ssl_c_chain_der",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        chain::<Front, 1>,
        "DER of the certificates that the client sent beside its own.",
    )
    .eg(&[("ssl_c_chain_der,length", Some("3"))]),
    FetchDef::new(
        "ssl_c_der",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        der::<Client>,
        "DER of the client's certificate.",
    )
    .eg(&[("ssl_c_der,length", Some("264"))]),
    FetchDef::new(
        "ssl_c_i_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        issuer::<Client>,
        "Issuer of the client's certificate, or an attribute of its name.",
    )
    .eg(&[("ssl_c_i_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_c_key_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        key_alg::<Client>,
        "Algorithm of the key of the client's certificate.",
    )
    .eg(&[("ssl_c_key_alg", Some("id-ecPublicKey"))]),
    FetchDef::new(
        "ssl_c_notafter",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_after::<Client>,
        "End of the validity of the client's certificate.",
    )
    .eg(&[("ssl_c_notafter", Some("361124130928Z"))]),
    FetchDef::new(
        "ssl_c_notbefore",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_before::<Client>,
        "Start of the validity of the client's certificate.",
    )
    .eg(&[("ssl_c_notbefore", Some("261127130928Z"))]),
    FetchDef::new(
        "ssl_c_policies",
        OID,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        policies,
        "Policies of the client's certificate, or the one that is asked for.",
    )
    .eg(&[
        ("ssl_c_policies", Some("1.2.3.4")),
        ("ssl_c_policies(1.2.3.4)", Some("1.2.3.4")),
        ("ssl_c_policies(1.2.3.5)", None),
    ]),
    FetchDef::new(
        "ssl_c_r_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        root,
        "Root authority of the client's certificate, or an attribute of its name.",
    )
    .eg(&[("ssl_c_r_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_c_s_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        subject::<Client>,
        "Subject of the client's certificate, or an attribute of its name.",
    )
    .eg(&[
        ("ssl_c_s_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org")),
        ("ssl_c_s_dn(OU,2)", Some("two")),
        ("ssl_c_s_dn(OU,-1)", Some("two")),
        ("ssl_c_s_dn(,0,rfc2253)", Some("CN=client.example.org,OU=two,OU=one,O=Sluice,C=FR")),
        ("ssl_c_s_dn(L)", None),
    ]),
    FetchDef::new(
        "ssl_c_san",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        san,
        "Alternative names of the client's certificate.",
    )
    .eg(&[("ssl_c_san", Some("DNS:client.example.org, IP Address:192.0.2.1"))]),
    FetchDef::new(
        "ssl_c_serial",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        serial::<Client>,
        "Serial number of the client's certificate.",
    )
    .eg(&[("ssl_c_serial,hex", Some("1234"))]),
    FetchDef::new(
        "ssl_c_sha1",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sha1::<Client>,
        "SHA-1 of the client's certificate.",
    )
    .eg(&[("ssl_c_sha1,hex", Some("58E342CAB7831930FEBA3289867A31834EDA03A9"))]),
    FetchDef::new(
        "ssl_c_sig_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sig_alg::<Client>,
        "Algorithm that the client's certificate is signed by.",
    )
    .eg(&[("ssl_c_sig_alg", Some("ecdsa-with-SHA256"))]),
    FetchDef::new(
        "ssl_c_version",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        version::<Client>,
        "Version of the client's certificate.",
    )
    .eg(&[("ssl_c_version", Some("3"))]),
    FetchDef::new(
        "ssl_f_der",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        der::<Own>,
        "DER of our certificate for clients.",
    )
    .eg(&[("ssl_f_der,length", Some("264"))]),
    FetchDef::new(
        "ssl_f_i_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        issuer::<Own>,
        "Issuer of our certificate for clients, or an attribute of its name.",
    )
    .eg(&[("ssl_f_i_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_f_key_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        key_alg::<Own>,
        "Algorithm of the key of our certificate for clients.",
    )
    .eg(&[("ssl_f_key_alg", Some("id-ecPublicKey"))]),
    FetchDef::new(
        "ssl_f_notafter",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_after::<Own>,
        "End of the validity of our certificate for clients.",
    )
    .eg(&[("ssl_f_notafter", Some("361124130928Z"))]),
    FetchDef::new(
        "ssl_f_notbefore",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_before::<Own>,
        "Start of the validity of our certificate for clients.",
    )
    .eg(&[("ssl_f_notbefore", Some("261127130928Z"))]),
    FetchDef::new(
        "ssl_f_s_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        subject::<Own>,
        "Subject of our certificate for clients, or an attribute of its name.",
    )
    .eg(&[("ssl_f_s_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_f_serial",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        serial::<Own>,
        "Serial number of our certificate for clients.",
    )
    .eg(&[("ssl_f_serial,hex", Some("1234"))]),
    FetchDef::new(
        "ssl_f_sha1",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sha1::<Own>,
        "SHA-1 of our certificate for clients.",
    )
    .eg(&[("ssl_f_sha1,hex", Some("58E342CAB7831930FEBA3289867A31834EDA03A9"))]),
    FetchDef::new(
        "ssl_f_sig_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sig_alg::<Own>,
        "Algorithm that our certificate for clients is signed by.",
    )
    .eg(&[("ssl_f_sig_alg", Some("ecdsa-with-SHA256"))]),
    FetchDef::new(
        "ssl_f_version",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        version::<Own>,
        "Version of our certificate for clients.",
    )
    .eg(&[("ssl_f_version", Some("3"))]),
    FetchDef::new(
        "ssl_s_chain_der",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        chain::<Back, 0>,
        "DER of all certificates that the server sent.",
    )
    .eg(&[("ssl_s_chain_der,length", Some("264"))]),
    FetchDef::new(
        "ssl_s_der",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        der::<Server>,
        "DER of the server's certificate.",
    )
    .eg(&[("ssl_s_der,length", Some("264"))]),
    FetchDef::new(
        "ssl_s_i_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        issuer::<Server>,
        "Issuer of the server's certificate, or an attribute of its name.",
    )
    .eg(&[("ssl_s_i_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_s_key_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        key_alg::<Server>,
        "Algorithm of the key of the server's certificate.",
    )
    .eg(&[("ssl_s_key_alg", Some("id-ecPublicKey"))]),
    FetchDef::new(
        "ssl_s_notafter",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_after::<Server>,
        "End of the validity of the server's certificate.",
    )
    .eg(&[("ssl_s_notafter", Some("361124130928Z"))]),
    FetchDef::new(
        "ssl_s_notbefore",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        not_before::<Server>,
        "Start of the validity of the server's certificate.",
    )
    .eg(&[("ssl_s_notbefore", Some("261127130928Z"))]),
    FetchDef::new(
        "ssl_s_s_dn",
        DN,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        subject::<Server>,
        "Subject of the server's certificate, or an attribute of its name.",
    )
    .eg(&[("ssl_s_s_dn", Some("/C=FR/O=Sluice/OU=one/OU=two/CN=client.example.org"))]),
    FetchDef::new(
        "ssl_s_serial",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        serial::<Server>,
        "Serial number of the server's certificate.",
    )
    .eg(&[("ssl_s_serial,hex", Some("1234"))]),
    FetchDef::new(
        "ssl_s_sha1",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sha1::<Server>,
        "SHA-1 of the server's certificate.",
    )
    .eg(&[("ssl_s_sha1,hex", Some("58E342CAB7831930FEBA3289867A31834EDA03A9"))]),
    FetchDef::new(
        "ssl_s_sig_alg",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sig_alg::<Server>,
        "Algorithm that the server's certificate is signed by.",
    )
    .eg(&[("ssl_s_sig_alg", Some("ecdsa-with-SHA256"))]),
    FetchDef::new(
        "ssl_s_version",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        version::<Server>,
        "Version of the server's certificate.",
    )
    .eg(&[("ssl_s_version", Some("3"))]),
];

fn text<'a>(cx: &EvalCtx<'a>, text: &str) -> Sample<'a> {
    Sample::Str(cx.scratch.alloc_slice_copy(text.as_bytes()))
}

fn field<'a, H: Holder>(
    cx: &EvalCtx<'a>,
    of: impl FnOnce(&X509Certificate<'a>) -> Option<String>,
) -> Option<Sample<'a>> {
    let certificate = x509::parse(H::der(cx)?)?;
    of(&certificate).map(|value| text(cx, &value))
}

/// A name, or an attribute of it, as the arguments ask.
fn of_name(name: &X509Name<'_>, args: &Args) -> Option<String> {
    let entry = args.str(0).filter(|entry| !entry.is_empty());
    match entry {
        Some(entry) => {
            let entry = std::str::from_utf8(entry).ok()?;
            x509::attribute(name, entry, args.int(1).unwrap_or(1))
        }
        None if args.str(2) == Some(b"rfc2253") => x509::name(name, NameForm::Rfc2253),
        None => x509::name(name, NameForm::OneLine),
    }
}

fn der<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    H::der(cx).map(Sample::Bin)
}

fn issuer<'a, H: Holder>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| of_name(certificate.issuer(), args))
}

fn subject<'a, H: Holder>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| of_name(certificate.subject(), args))
}

fn key_alg<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| Some(x509::key_algorithm(certificate)))
}

fn sig_alg<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| Some(x509::signature_algorithm(certificate)))
}

fn not_after<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| Some(x509::time(&certificate.validity().not_after)))
}

fn not_before<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<H>(cx, |certificate| Some(x509::time(&certificate.validity().not_before)))
}

fn serial<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let certificate = x509::parse(H::der(cx)?)?;
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(certificate.raw_serial())))
}

fn sha1<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let digest = x509::sha1(H::der(cx)?);
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(&digest)))
}

fn version<'a, H: Holder>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let certificate = x509::parse(H::der(cx)?)?;
    // Written as one less than its number.
    Some(Sample::Int(i64::from(certificate.version().0) + 1))
}

/// A chain without its first `SKIP`: OpenSSL keeps a client's own certificate elsewhere, a server's in the chain.
fn chain<'a, S: Side, const SKIP: usize>(
    cx: &EvalCtx<'a>,
    _: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    let peer = &S::tls(cx)?.peer;
    let peer = peer.get(SKIP..).filter(|_| !peer.is_empty())?;
    let mut out = crate::sample::def::out(cx.scratch, peer.iter().map(|der| der.len()).sum());
    peer.iter().for_each(|der| out.extend_from_slice(der));
    Some(Sample::Bin(out.into_bump_slice()))
}

fn policies<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<Client>(cx, |certificate| {
        let found = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
            ParsedExtension::CertificatePolicies(list) => Some(list),
            _ => None,
        })?;
        let mut ids = found.iter().map(|policy| policy.policy_id.to_id_string());
        match args.str(0).filter(|oid| !oid.is_empty()) {
            Some(wanted) => ids.find(|id| id.as_bytes() == wanted),
            None => Some(ids.collect::<Vec<_>>().join(",")).filter(|list| !list.is_empty()),
        }
    })
}

fn root<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let der = Front::tls(cx)?.root.as_deref()?;
    let (_, name) = X509Name::from_der(der).ok()?;
    of_name(&name, args).map(|value| text(cx, &value))
}

fn san<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    field::<Client>(cx, x509::alternative_names)
}
