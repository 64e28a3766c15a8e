//! Fetches and converters against a real HAProxy: the same expressions must give the same text.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use tests::client::{Client, get};
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Files, Peer, peer};
use tests::{PATIENCE, Program, Sluice, eventually};

const HAPROXY: &str = "/usr/sbin/haproxy";

/// What both carry: HAProxy 2.6 and later.
const EXPRESSIONS: &[&str] = &[
    r"str(AbC),crc32",
    r"str(AbC),crc32(1)",
    r"str(AbC),crc32c",
    r"str(AbC),wt6",
    r"str(AbC),wt6(1)",
    r"str(AbC),xxh3",
    r"str(AbC),xxh32(7)",
    r"str(AbC),xxh64(7)",
    r"str(AbC),sdbm(1)",
    r"str(AbC),djb2(1)",
    r"str(AbC),sha1,hex",
    r"str(AbC),sha2(384),hex",
    r"str(AbC),digest(md5),hex",
    r"str(AbC),digest(sha512),hex",
    r"str(AbC),hmac(sha256,a2V5),hex",
    r"str(AbC),base64",
    r"str(QWJD),b64dec",
    r"str(QWJD?),b64dec",
    r"str(QWJD_-8),ub64dec,hex",
    r"str(AbC),ub64enc",
    r"bin(00ff10),ub64enc",
    r"str(a%20b+c),url_dec",
    r"str(a%20b+c),url_dec(1)",
    r"str(1.2.3.4),ipmask(24)",
    r"str(2001:db8::1),ipmask(24,32)",
    r"str(a.b.c.d),field(2,.)",
    r"str(a.b.c.d),field(-2,.,2)",
    r"str(a.b.c.d),word(3,.)",
    r"str(..a..b),word(-1,.)",
    r"str(foo),concat(-,txn.v,-)",
    r"str(a),strcmp(txn.v)",
    r"str(val),strcmp(txn.v)",
    r"str(x1y2),regsub([0-9],#,g)",
    r"str(XyX),regsub(x,_,gi)",
    r"int(784111777),http_date",
    r"int(784111777),http_date(10)",
    r"str(foo 1/2),json(utf8)",
    r"bin(c3a9),json(utf8)",
    r"bin(e0),json(utf8s)",
    r"bin(c081),json(utf8ps)",
    r"str(0a0f),hex2i",
    r"str(zz),hex2i",
    r"int(-7),div(2)",
    r"int(-7),mod(3)",
    r"int(5),div(0)",
    r"int(5),xor(3)",
    r"int(5),cpl",
    r"int(9223372036854775807),add(1)",
    r"int(2),mul(9223372036854775807)",
    r"int(-9223372036854775808),neg",
    r"bool(1),iif(a,b)",
    r"bin(01020304050607),be2dec(:,2)",
    r"bin(01020304050607),be2hex(:,2,1)",
    r"bin(01020304050607),bytes(2,3),hex",
    r"str(eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwibiI6NX0.JpxPas6dJDhmYC4_X7SvhcBqYm6Vx1XU268PJdYgwIw),jwt_verify(HS256,secret)",
    r"str(eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwibiI6NX0.JpxPas6dJDhmYC4_X7SvhcBqYm6Vx1XU268PJdYgwIw),jwt_payload_query($.n,int)",
    r"str(abc),aes_gcm_dec(128,MTIzNDU2Nzg5MDEy,Zm9vb2Zvb29mb29vb29vbw==,AAAA)",
    r"str(for=1.2.3.4;proto=http),length",
    r"str(xxaxx),ltrim(x),rtrim(x)",
    r"str(AbC),lower",
    r"str(AbC),upper",
    r"str(a\xE0b),hex",
    r"str(a\xE0b),length",
    r"str(-\xE0-),json(utf8s)",
    r"str(\xE0),json(utf8)",
    r"str(a\xE9b),regsub(\xE9,X)",
    r"str(a\xE9b),field(2,\xE9)",
    r"int(300),bool",
    r"bin(101600044d51545404c2003c0002633100026d6500027077),mqtt_is_valid",
    r"bin(101600044d51545404c2003c0002633100026d6500027077ff),mqtt_is_valid",
    r"bin(101b00044d5154540506000005110000000a0000000001740003627965),mqtt_is_valid",
    r"bin(101600044d51545404c2003c0002633100026d6500027077),mqtt_field_value(connect,flags)",
    r"bin(101600044d51545404c2003c0002633100026d6500027077),mqtt_field_value(1,username)",
    r"bin(101b00044d5154540506000005110000000a0000000001740003627965),mqtt_field_value(connect,17)",
    r"bin(101b00044d5154540506000005110000000a0000000001740003627965),mqtt_field_value(connect,will_topic)",
    r"bin(200b01000813001e1f00026f6b),mqtt_field_value(connack,31)",
    r"bin(200b01000813001e1f00026f6b),mqtt_field_value(connack,protocol_version)",
    r"bin(20020005),mqtt_field_value(connack,reason_code)",
    r"bin(20020005ff),mqtt_is_valid",
    r"str(abc),protobuf(1)",
    r"bin(0a0408071009),protobuf(1.2,int32)",
    r"bin(0803),protobuf(1,sint32)",
    r"int(65),hex",
    r"str(abc),htonl",
    r"int(258),htonl,hex",
    r"str(ABC),secure_memcmp(txn.v)",
    r"str(val),secure_memcmp(txn.v)",
    r"url_param(q)",
    r"path,field(2,/)",
    r"req.hdr(x-list,-1)",
    r"req.hdr(x-list,2)",
    r"req.fhdr(x-list)",
    r"req.hdr_cnt(x-list)",
    r"req.cook(sid)",
    r"req.cook_cnt",
    r"base32",
    r"url32",
    r"base",
    r"query",
    r"pathq",
    r"url",
    r"method",
    r"req.ver",
    r"http_auth_user",
    r"http_auth_pass",
    r"http_auth_type",
    r"http_auth_bearer",
    r"src,ipmask(8)",
    r"dst_port,bool",
    r"capture.req.uri",
    r"capture.req.method",
    r"capture.req.ver",
    r"req.body_len",
];

const REQUEST: &str = "GET /a/b.png?q=1&Q=2 HTTP/1.1\r\n\
    Host: h.example.com:81\r\n\
    X-List: a, b ,c\r\n\
    X-List: d\r\n\
    Cookie: sid=1; x=2; sid=3\r\n\
    Authorization: Basic dGlnZXI6c2NvdHQ=\r\n\
    \r\n";

fn config(address: SocketAddr) -> String {
    let mut rules = String::new();
    let mut fields = String::new();
    for (n, expression) in EXPRESSIONS.iter().enumerate() {
        // Bytes are made by the first level of quoting.
        let quote = if expression.contains(r"\x") { '"' } else { '\'' };
        rules.push_str(&format!(
            "    http-request set-var-fmt(txn.r{n}) {quote}<%[{expression}]>{quote}\n"
        ));
        fields.push_str(&format!("    http-after-response set-header x-{n} %[var(txn.r{n})]\n"));
    }
    format!(
        "global
    tune.http.maxhdr 1000
    tune.bufsize 65536
{DEFAULTS}
frontend web
    bind {address}
    http-request set-var(txn.v) str(val)
{rules}{fields}    http-request return status 200
"
    )
}

/// The text that each expression gave.
fn values(address: SocketAddr) -> Result<Vec<String>> {
    let mut client = Client::connect(address)?;
    client.send(REQUEST)?;
    let response = client.response()?;
    let value = |n| response.header(&format!("x-{n}")).unwrap_or("missing").to_owned();
    Ok((0..EXPRESSIONS.len()).map(value).collect())
}

#[test]
fn the_same_as_haproxy() -> Result<()> {
    if peer() != Peer::Sluice {
        return Ok(());
    }
    let address = loopback()?;
    let _sluice = Sluice::config(config(address)).start()?;
    let ours = values(address)?;

    let address = loopback()?;
    let files = Files::new()?;
    let file = files.write("haproxy.cfg", &config(address))?;
    let haproxy = Program::start("haproxy", Command::new(HAPROXY).args(["-db", "-f"]).arg(&file))?;
    eventually("haproxy", PATIENCE, || Client::connect(address).is_ok())?;
    let theirs = values(address)?;
    drop(haproxy);

    let differing: Vec<_> = EXPRESSIONS
        .iter()
        .zip(ours.iter().zip(&theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(!ours.contains(&"missing".to_owned()), "{ours:?}");
    Ok(())
}

#[test]
fn variables_hold_what_their_limits_permit() -> Result<()> {
    let web = loopback()?;
    let config = format!(
        "global
    tune.vars.txn-max-size 10
{DEFAULTS}
listen web
    bind {web}
    http-request set-var(txn.a) url_param(a)
    http-request set-var(req.b) url_param(b)
    http-request return status 200 hdr x %[var(txn.a)],%[var(req.b)]
"
    );
    let _sluice = Sluice::config(config).start()?;
    let kept = |path: &str| -> Result<Option<String>> {
        Ok(get(web, path)?.header("x").map(str::to_owned))
    };
    if peer() == Peer::Haproxy {
        // It counts what it keeps around a value, too.
        return Ok(());
    }
    assert_eq!(kept("/?a=12345&b=67890")?.as_deref(), Some("12345,67890"));
    assert_eq!(kept("/?a=12345&b=678901")?.as_deref(), Some("12345,"));
    assert_eq!(kept("/?a=12345678901&b=6789012345")?.as_deref(), Some(",6789012345"));
    Ok(())
}
