//! A country file in MaxMind's format, made here: the format is described in MaxMind-DB-spec.md.

use std::net::IpAddr;

/// Which schema a file has.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// `country.iso_code`, with a city, coordinates and what else such files hold.
    City,
    /// `country_code`
    Flat,
    /// `country`
    Plain,
    /// No country at all.
    Network,
}

enum Value {
    Text(String),
    /// With its type: 5 for 16 bits, 6 for 32, 9 for 64.
    Number(u8, u32),
    Map(Vec<(String, Value)>),
    List(Vec<Value>),
}

fn text(t: &str) -> Value {
    Value::Text(t.to_owned())
}

fn map(pairs: Vec<(&str, Value)>) -> Value {
    Value::Map(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (first, more) = match size {
        0..29 => (u8::try_from(size).unwrap(), None),
        29..285 => (29, Some(u8::try_from(size - 29).unwrap())),
        _ => panic!("larger than a test needs"),
    };
    if kind < 8 {
        out.push(kind << 5 | first);
    } else {
        out.extend([first, kind - 7]);
    }
    out.extend(more);
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(t) => {
            control(2, t.len(), out);
            out.extend(t.as_bytes());
        }
        Value::Number(kind, n) => {
            let bytes = n.to_be_bytes();
            let from = bytes.iter().position(|b| *b != 0).unwrap_or(4);
            control(*kind, 4 - from, out);
            out.extend(&bytes[from..]);
        }
        Value::Map(pairs) => {
            control(7, pairs.len(), out);
            for (k, v) in pairs {
                encode(&text(k), out);
                encode(v, out);
            }
        }
        Value::List(items) => {
            control(11, items.len(), out);
            items.iter().for_each(|i| encode(i, out));
        }
    }
}

fn record(schema: Schema, country: &str) -> Value {
    match schema {
        Schema::City => map(vec![
            ("city", map(vec![("names", map(vec![("en", text("Somewhere"))]))])),
            ("country", map(vec![("iso_code", text(country)), ("geoname_id", Value::Number(6, 7))])),
            ("subdivisions", Value::List(vec![map(vec![("iso_code", text("XY"))])])),
        ]),
        Schema::Flat => map(vec![("country_code", text(country))]),
        Schema::Plain => map(vec![("country", text(country)), ("asn", text("AS64500"))]),
        Schema::Network => map(vec![("autonomous_system_number", Value::Number(6, 64_500))]),
    }
}

/// A file that gives each network, as `203.0.113.0/24`, its country.
pub fn country_file(schema: Schema, networks: &[(&str, &str)], built: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let mut offsets = Vec::new();
    for (_, country) in networks {
        offsets.push(data.len());
        encode(&record(schema, country), &mut data);
    }
    // A node is two branches; a branch is nothing, a node, or a record.
    #[derive(Clone, Copy)]
    enum Branch {
        Nothing,
        Node(usize),
        Record(usize),
    }
    let mut nodes = vec![[Branch::Nothing; 2]];
    for ((network, _), offset) in networks.iter().zip(&offsets) {
        let (ip, bits) = network.split_once('/').unwrap();
        let bits: usize = bits.parse().unwrap();
        let (number, bits): (u128, usize) = match ip.parse().unwrap() {
            // In a file for both families IPv4 lies in ::/96.
            IpAddr::V4(v4) => (u32::from(v4).into(), bits + 96),
            IpAddr::V6(v6) => (v6.into(), bits),
        };
        let mut node = 0;
        for depth in 0..bits {
            let side = usize::from(number >> (127 - depth) & 1 == 1);
            if depth + 1 == bits {
                nodes[node][side] = Branch::Record(*offset);
            } else if let Branch::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Branch::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Branch::Node(next);
                node = next;
            }
        }
    }
    let mut file = Vec::new();
    for branches in &nodes {
        for branch in branches {
            let value = match branch {
                Branch::Nothing => nodes.len(),
                Branch::Node(n) => *n,
                Branch::Record(offset) => nodes.len() + 16 + offset,
            };
            file.extend(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
        }
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = map(vec![
        ("node_count", Value::Number(6, u32::try_from(nodes.len()).unwrap())),
        ("record_size", Value::Number(5, 24)),
        ("ip_version", Value::Number(5, 6)),
        ("database_type", text("privet-tests")),
        ("languages", Value::List(vec![text("en")])),
        ("binary_format_major_version", Value::Number(5, 2)),
        ("binary_format_minor_version", Value::Number(5, 0)),
        ("build_epoch", Value::Number(9, built)),
        ("description", map(vec![])),
    ]);
    encode(&metadata, &mut file);
    file
}
