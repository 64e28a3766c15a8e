//! MQTT, versions 3.1, 3.1.1 and 5.0 (configuration manual, 7.3.1; OASIS MQTT 3.1.1 and 5.0).

use crate::sample::args::{Arg, ArgKind, req};
use crate::sample::value::display;
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

/// CONNECT of version 3.1.1: client "c1", user "me", password "pw", keep-alive 60.
macro_rules! connect {
    ($rest:literal) => {
        concat!("bin(101600044d51545404c2003c0002633100026d6500027077),", $rest)
    };
}

/// CONNECT of version 5.0: client "", will "t" with payload "bye", session expiry interval 10.
macro_rules! connect5 {
    ($rest:literal) => {
        concat!("bin(101b00044d5154540506000005110000000a0000000001740003627965),", $rest)
    };
}

/// CONNACK of version 5.0: session present, reason 0, server keep alive 30, reason string "ok".
macro_rules! connack5 {
    ($rest:literal) => {
        concat!("bin(200b01000813001e1f00026f6b),", $rest)
    };
}

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "mqtt_field_value",
        &[req(ArgKind::Str), req(ArgKind::Str)],
        Type::Bin,
        Type::Str,
        field_value,
        "A field, or a property by its number, of a CONNECT or CONNACK message of MQTT.",
    )
    .check(check_field)
    .eg(&[
        (connect!("mqtt_field_value(connect,username)"), Some("me")),
        (connect!("mqtt_field_value(CONNECT,password)"), Some("pw")),
        (connect!("mqtt_field_value(1,client_identifier)"), Some("c1")),
        (connect!("mqtt_field_value(connect,protocol_name)"), Some("MQTT")),
        (connect!("mqtt_field_value(connect,protocol_version)"), Some("4")),
        (connect!("mqtt_field_value(connect,keepalive)"), Some("60")),
        (connect!("mqtt_field_value(connect,flags)"), Some("194")),
        (connect!("mqtt_field_value(connect,will_topic)"), None),
        (connect!("mqtt_field_value(connack,flags)"), None),
        ("bin(20020005),mqtt_field_value(connack,reason_code)", Some("5")),
        ("bin(20020005),mqtt_field_value(connack,protocol_version)", Some("4")),
        (connect5!("mqtt_field_value(connect,17)"), Some("10")),
        (connect5!("mqtt_field_value(connect,will_payload)"), Some("bye")),
        (connack5!("mqtt_field_value(connack,19)"), Some("30")),
        (connack5!("mqtt_field_value(2,31)"), Some("ok")),
        (connack5!("mqtt_field_value(2,protocol_version)"), Some("5")),
    ]),
    ConvDef::new(
        "mqtt_is_valid",
        &[],
        Type::Bin,
        Type::Bool,
        is_valid,
        "True for a valid CONNECT or CONNACK message of MQTT.",
    )
    .eg(&[
        (connect!("mqtt_is_valid"), Some("1")),
        (connect5!("mqtt_is_valid"), Some("1")),
        (connack5!("mqtt_is_valid"), Some("1")),
        ("bin(20020005),mqtt_is_valid", Some("1")),
        ("bin(20020005ff),mqtt_is_valid", Some("0")),
        ("bin(100100),mqtt_is_valid", Some("0")),
        ("str(GET / HTTP/1.1),mqtt_is_valid", Some("0")),
    ]),
];

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;

/// What the second argument names; kept as the number behind the packet type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Field(&'static str),
    Property(u8),
}

const CONNECT_FIELDS: [&str; 9] = [
    "flags",
    "protocol_name",
    "protocol_version",
    "client_identifier",
    "will_topic",
    "will_payload",
    "username",
    "password",
    "keepalive",
];
const CONNACK_FIELDS: [&str; 3] = ["flags", "protocol_version", "reason_code"];

/// Properties of CONNECT, of its will among them, and of CONNACK. 38, the user property, has two texts and may be
/// there many times: the manual leaves it out.
const CONNECT_PROPERTIES: [u8; 14] = [17, 33, 39, 34, 25, 23, 21, 22, 24, 1, 2, 3, 8, 9];
const CONNACK_PROPERTIES: [u8; 16] =
    [17, 33, 36, 37, 39, 18, 34, 31, 40, 41, 42, 19, 26, 28, 21, 22];

fn wanted(packet: u8, name: &[u8]) -> Option<Wanted> {
    let (fields, properties) = match packet {
        CONNECT => (&CONNECT_FIELDS[..], &CONNECT_PROPERTIES[..]),
        _ => (&CONNACK_FIELDS[..], &CONNACK_PROPERTIES[..]),
    };
    if let Some(field) = fields.iter().find(|f| f.as_bytes().eq_ignore_ascii_case(name)) {
        return Some(Wanted::Field(field));
    }
    let number = std::str::from_utf8(name).ok()?.parse().ok()?;
    properties.contains(&number).then_some(Wanted::Property(number))
}

fn packet_type(name: &[u8]) -> Option<u8> {
    match name.to_ascii_lowercase().as_slice() {
        b"1" | b"connect" => Some(CONNECT),
        b"2" | b"connack" => Some(CONNACK),
        _ => None,
    }
}

fn check_field(args: &mut Args) -> Result<(), String> {
    let (kind, field) = (args.str(0).unwrap_or_default(), args.str(1).unwrap_or_default());
    let show = String::from_utf8_lossy;
    let Some(packet) = packet_type(kind) else {
        return Err(format!(
            "unsupported MQTT packet type '{}' (CONNECT and CONNACK are)",
            show(kind)
        ));
    };
    if wanted(packet, field).is_none() {
        return Err(format!(
            "unknown MQTT field or property '{}' of this packet type",
            show(field)
        ));
    }
    args.0[0] = Arg::Int(packet.into());
    Ok(())
}

/// A value in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Bytes(&'a [u8]),
    Number(u32),
}

/// Takes values off the front of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn be(&mut self, n: usize) -> Option<u32> {
        Some(self.take(n)?.iter().fold(0, |value, b| value << 8 | u32::from(*b)))
    }

    /// A text or binary value, behind its length in two bytes.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.be(2)?;
        self.take(len as usize)
    }

    /// A number in groups of seven bits, at most four of them.
    fn variable(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Looks at every property up to their end.
    fn properties(&mut self, see: &mut dyn FnMut(u8, Value<'a>)) -> Option<()> {
        let len = self.variable()?;
        let mut list = Reader(self.take(len as usize)?);
        while !list.0.is_empty() {
            let id = list.variable()?;
            // MQTT 5.0, 2.2.2.2: the type goes with the identifier.
            let value = match id {
                1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => Value::Number(list.byte()?.into()),
                19 | 33 | 34 | 35 => Value::Number(list.be(2)?),
                2 | 17 | 24 | 39 => Value::Number(list.be(4)?),
                11 => Value::Number(list.variable()?),
                3 | 8 | 9 | 18 | 21 | 22 | 26 | 28 | 31 => Value::Bytes(list.counted()?),
                38 => {
                    list.counted()?;
                    list.counted()?;
                    continue;
                }
                _ => return None,
            };
            see(id as u8, value);
        }
        Some(())
    }
}

/// Reads a message and tells `see` of all there is; `None` when it is not valid, or not whole.
fn read<'a>(data: &'a [u8], see: &mut dyn FnMut(u8, Wanted, Value<'a>)) -> Option<()> {
    let mut reader = Reader(data);
    // The lower half holds flags, which these messages have none of.
    let packet = match reader.byte()? {
        0x10 => CONNECT,
        0x20 => CONNACK,
        _ => return None,
    };
    let len = reader.variable()?;
    let mut body = Reader(reader.take(len as usize)?);
    match packet {
        CONNECT => connect(&mut body, &mut |wanted, value| see(CONNECT, wanted, value))?,
        // A server sends nothing else before the client did.
        _ if !reader.0.is_empty() => return None,
        _ => connack(&mut body, &mut |wanted, value| see(CONNACK, wanted, value))?,
    }
    body.0.is_empty().then_some(())
}

fn connect<'a>(body: &mut Reader<'a>, see: &mut dyn FnMut(Wanted, Value<'a>)) -> Option<()> {
    let name = body.counted()?;
    let version = body.byte()?;
    matches!((name, version), (b"MQIsdp", 3) | (b"MQTT", 4 | 5)).then_some(())?;
    let flags = body.byte()?;
    let (will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    let (password, user) = (flags & 0x40 != 0, flags & 0x80 != 0);
    let sound = flags & 1 == 0 && qos < 3 && (will || qos == 0 && !retain);
    (sound && (user || !password || version == 5)).then_some(())?;
    see(Wanted::Field("protocol_name"), Value::Bytes(name));
    see(Wanted::Field("protocol_version"), Value::Number(version.into()));
    see(Wanted::Field("flags"), Value::Number(flags.into()));
    see(Wanted::Field("keepalive"), Value::Number(body.be(2)?));
    if version == 5 {
        body.properties(&mut |id, value| see(Wanted::Property(id), value))?;
    }
    see(Wanted::Field("client_identifier"), Value::Bytes(body.counted()?));
    if will {
        if version == 5 {
            body.properties(&mut |id, value| see(Wanted::Property(id), value))?;
        }
        see(Wanted::Field("will_topic"), Value::Bytes(body.counted()?));
        see(Wanted::Field("will_payload"), Value::Bytes(body.counted()?));
    }
    if user {
        see(Wanted::Field("username"), Value::Bytes(body.counted()?));
    }
    if password {
        see(Wanted::Field("password"), Value::Bytes(body.counted()?));
    }
    Some(())
}

fn connack<'a>(body: &mut Reader<'a>, see: &mut dyn FnMut(Wanted, Value<'a>)) -> Option<()> {
    let flags = body.byte()?;
    (flags & 0xfe == 0).then_some(())?;
    let reason = body.byte()?;
    // Only version 5.0 has properties, and even without any it has their length.
    let version = if body.0.is_empty() { 4 } else { 5 };
    see(Wanted::Field("flags"), Value::Number(flags.into()));
    see(Wanted::Field("protocol_version"), Value::Number(version));
    see(Wanted::Field("reason_code"), Value::Number(reason.into()));
    if version == 5 {
        body.properties(&mut |id, value| see(Wanted::Property(id), value))?;
    }
    Some(())
}

fn is_valid<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(read(value.bytes()?, &mut |_, _, _| {}).is_some()))
}

fn field_value<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let packet = u8::try_from(args.int(0)?).ok()?;
    let wanted = wanted(packet, args.str(1)?)?;
    let mut found = None;
    read(value.bytes()?, &mut |kind, what, value| {
        if kind == packet && what == wanted {
            found.get_or_insert(value);
        }
    })?;
    Some(Sample::Str(match found? {
        Value::Bytes(bytes) => bytes,
        Value::Number(number) => display(cx.scratch, number),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_message_is_survived(
            kind in proptest::sample::select(vec![0x10u8, 0x20, 0x30]),
            start in proptest::sample::select(vec![&b"\0\x04MQTT\x05\x06\0\0"[..], b"\0\x06MQIsdp\x03\xc2", b""]),
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            let body = [start, &rest].concat();
            let message = [&[kind, body.len() as u8][..], &body].concat();
            for data in [&message[..], &rest] {
                let mut seen = 0;
                let valid = read(data, &mut |_, _, value| {
                    seen += 1;
                    if let Value::Bytes(bytes) = value {
                        assert!(bytes.len() <= data.len());
                    }
                });
                assert!(valid.is_none() || seen > 0);
            }
        }
    }
}
