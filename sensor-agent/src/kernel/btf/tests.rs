use super::*;

/// Makes small BTF files, type by type.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, info: u32, size: u32, words: &[u32]) -> u32 {
        let name = self.name(name);
        for word in [name, info, size].iter().chain(words) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    fn int(&mut self) -> u32 {
        self.add("int", 1 << 24, 4, &[32])
    }

    fn typedef(&mut self, name: &str, of: u32) -> u32 {
        self.add(name, 8 << 24, of, &[])
    }

    /// Members are (name, type, offset in bits); `wide` makes the first a bit field of three bits.
    fn composite(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
        wide: bool,
    ) -> u32 {
        let mut words = Vec::new();
        for (index, (member, of, bits)) in members.iter().enumerate() {
            let width = if wide && index == 0 { 3 << 24 } else { 0 };
            words.extend([self.name(member), *of, bits | width]);
        }
        let count = u32::try_from(members.len()).unwrap();
        self.add(name, kind << 24 | u32::from(wide) << 31 | count, size, &words)
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(kind::STRUCT, name, size, members, false)
    }

    fn bytes(self) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let (types, strings) = (len(&self.types), len(&self.strings));
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0]);
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }

    fn parse(self) -> Btf {
        Btf::parse(self.bytes()).unwrap()
    }
}

#[test]
fn members_are_found_directly_through_anonymous_ones_and_along_paths() {
    let mut builder = Builder::new();
    let int = builder.int();
    let common = builder.structure("ns_common", 8, &[("ops", int, 0), ("inum", int, 32)]);
    let alias = builder.typedef("ns_t", common);
    let inner = builder.structure("", 8, &[("hash", int, 0), ("len", int, 32)]);
    let union = builder.composite(kind::UNION, "", 8, &[("", inner, 0), ("hash_len", int, 0)], false);
    builder.structure("qstr", 16, &[("", union, 0), ("name", int, 64)]);
    builder.structure("net", 32, &[("count", int, 0), ("ns", alias, 64)]);
    let btf = builder.parse();
    let cases = [
        ("qstr", "name", Some(8)),
        ("qstr", "len", Some(4)),
        ("qstr", "hash_len", Some(0)),
        ("net", "ns.inum", Some(12)),
        ("net", "ns.nothing", None),
        ("net", "count.inum", None),
        ("qstr", "inum", None),
        ("nothing", "name", None),
    ];
    for (structure, member, expected) in cases {
        assert_eq!(
            btf.offset_of(structure, member).unwrap(),
            expected,
            "{structure}.{member}"
        );
    }
    assert_eq!(btf.size_of("net").unwrap(), Some(32));
}

#[test]
fn a_name_with_two_answers_is_refused_and_with_one_is_not() {
    let mut builder = Builder::new();
    let int = builder.int();
    builder.structure("twin", 8, &[("same", int, 0), ("other", int, 32)]);
    builder.structure("twin", 16, &[("same", int, 0), ("other", int, 64)]);
    let btf = builder.parse();
    assert_eq!(btf.offset_of("twin", "same").unwrap(), Some(0));
    assert!(matches!(
        btf.offset_of("twin", "other"),
        Err(BtfError::Ambiguous { .. })
    ));
    assert!(matches!(btf.size_of("twin"), Err(BtfError::Ambiguous { .. })));
}

#[test]
fn a_bit_field_has_no_offset_in_bytes() {
    let mut builder = Builder::new();
    let int = builder.int();
    builder.composite(
        kind::STRUCT,
        "bits",
        8,
        &[("narrow", int, 0), ("wide", int, 32)],
        true,
    );
    let btf = builder.parse();
    assert_eq!(btf.offset_of("bits", "narrow").unwrap(), None);
    assert_eq!(btf.offset_of("bits", "wide").unwrap(), Some(4));
}

#[test]
fn enumerators_have_values() {
    let mut builder = Builder::new();
    let memory = builder.name("memory_cgrp_id");
    builder.add("cgroup_subsys_id", kind::ENUM << 24 | 1, 4, &[memory, 4]);
    let btf = builder.parse();
    assert_eq!(
        btf.enum_value("cgroup_subsys_id", "memory_cgrp_id").unwrap(),
        Some(4)
    );
    assert_eq!(btf.enum_value("cgroup_subsys_id", "pids_cgrp_id").unwrap(), None);
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_an_answer() {
    let mut builder = Builder::new();
    let int = builder.int();
    let inner = builder.structure("", 4, &[("deep", int, 0)]);
    builder.structure("outer", 8, &[("", inner, 0), ("flat", int, 32)]);
    let good = builder.bytes();
    for len in 0..good.len() {
        let _ = Btf::parse(good[..len].to_vec()).and_then(|btf| btf.offset_of("outer", "deep"));
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let _ = Btf::parse(bytes).and_then(|btf| btf.offset_of("outer", "deep"));
        }
    }
}

#[test]
fn a_structure_within_itself_ends() {
    let mut builder = Builder::new();
    // Type 1 has an anonymous member of type 1.
    builder.structure("snake", 8, &[("", 1, 0)]);
    let btf = builder.parse();
    assert_eq!(btf.offset_of("snake", "anything").unwrap(), None);
}
