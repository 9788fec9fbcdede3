//! The encoding of a link's frames, for peers that send frames which flyrpc would never send.

use serde::Serialize;

/// The first bytes of a link, in both directions.
pub const PREFACE: &[u8] = b"flyrpc\r\n\r\n";

/// The kinds of frames.
#[expect(missing_docs, reason = "flyrpc documents them")]
pub mod kind {
    pub const HELLO: u8 = 1;
    pub const REQUEST: u8 = 2;
    pub const REPLY: u8 = 3;
    pub const LONG_REPLY: u8 = 4;
    pub const STATUS: u8 = 5;
    pub const REQUEST_CHUNK: u8 = 6;
    pub const REPLY_CHUNK: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
    pub const STATE: u8 = 11;
    pub const GOING_AWAY: u8 = 12;
    pub const SEAL: u8 = 13;
    pub const UNSEALED: u8 = 14;
}

/// The flag of a request whose body is sent in chunks.
pub const CHUNKED: u64 = 8;

/// The index of the first method of the application, after the methods of the internal service.
pub const FIRST_METHOD: u64 = 7;

/// Appends a number as a varint.
pub fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Encodes a frame of numbers and bytes.
pub fn frame(kind: u8, numbers: &[u64], bytes: &[u8]) -> Vec<u8> {
    let mut payload = vec![kind];
    numbers.iter().for_each(|&number| varint(number, &mut payload));
    payload.extend_from_slice(bytes);
    let mut frame = Vec::new();
    varint(payload.len() as u64, &mut frame);
    frame.extend_from_slice(&payload);
    frame
}

/// Encodes a value as a body: MessagePack with names.
pub fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// A hello. The default is valid for a node of the cluster `local`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "flyrpc documents the fields of a hello")]
pub struct Hello {
    pub versions: (u64, u64),
    pub cluster: String,
    pub name: String,
    pub boot: u64,
    pub region: String,
    pub addr: String,
    pub max_body: u64,
    pub stamp: u64,
    /// The number of services without methods, and of withdrawn names.
    pub services: usize,
    pub withdrawn: usize,
    /// The methods of a service `Raw`, which take no arguments.
    pub methods: Vec<&'static str>,
}

impl Default for Hello {
    fn default() -> Self {
        Hello {
            versions: (1, 1),
            cluster: "local".to_owned(),
            name: "raw".to_owned(),
            boot: 666,
            region: "raw".to_owned(),
            // No program listens at this address.
            addr: "127.0.0.1:1".to_owned(),
            max_body: 32 << 20,
            stamp: 0,
            services: 0,
            withdrawn: 0,
            methods: Vec::new(),
        }
    }
}

impl Hello {
    /// Encodes the preface and the hello.
    pub fn encode(&self) -> Vec<u8> {
        [PREFACE, &frame(kind::HELLO, &[], &self.payload())].concat()
    }

    /// Encodes the hello without the preface, and without the length and kind of its frame.
    pub fn payload(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct NodeField<'a> {
            cluster: &'a str,
            name: &'a str,
            boot: u64,
            region: &'a str,
            addr: &'a str,
            max_body: u64,
        }
        #[derive(Serialize)]
        struct State<'a> {
            accepting: bool,
            draining: bool,
            primary_region: &'a str,
            withdrawn: Vec<String>,
        }
        #[derive(Serialize)]
        struct Method {
            name: &'static str,
            arguments: [u8; 0],
            returns: &'static str,
        }
        #[derive(Serialize)]
        struct Service {
            name: String,
            methods: Vec<Method>,
        }
        let Hello { cluster, name, boot, region, addr, max_body, .. } = self;
        let node =
            pack(&NodeField { cluster, name, boot: *boot, region, addr, max_body: *max_body });
        let names = |count: usize| (0..count).map(|number| format!("S{number}"));
        let withdrawn = names(self.withdrawn).collect();
        let primary_region = "iad";
        let state = pack(&State { accepting: true, draining: false, primary_region, withdrawn });
        let services = names(self.services).map(|name| Service { name, methods: Vec::new() });
        let method = |&name: &&'static str| Method { name, arguments: [], returns: "String" };
        let methods: Vec<_> = self.methods.iter().map(method).collect();
        let raw = Service { name: "Raw".to_owned(), methods };
        let raw = (!self.methods.is_empty()).then_some(raw);
        let services = pack(&services.chain(raw).collect::<Vec<_>>());
        let mut payload = Vec::new();
        varint(self.versions.0, &mut payload);
        varint(self.versions.1, &mut payload);
        let fields = [(1, node), (2, services), (3, state), (4, pack(&self.stamp))];
        for (number, value) in fields {
            varint(number << 1, &mut payload);
            varint(value.len() as u64, &mut payload);
            payload.extend_from_slice(&value);
        }
        payload
    }
}

/// Takes a varint from the start of `from`. Returns `None` if it is incomplete.
pub fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0.. {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}

/// Removes the first frame from `received`, and returns its kind and payload. Returns `None` if it is incomplete.
pub fn take_frame(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let mut rest = received.as_slice();
    let length = read_varint(&mut rest)? as usize;
    let (&kind, payload) = rest.get(..length)?.split_first()?;
    let payload = payload.to_vec();
    let used = received.len() - rest.len() + length;
    received.drain(..used);
    Some((kind, payload))
}
