//! Sets of networks: lists of blocked networks have thousands.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks as ranges of addresses.
///
/// Sorted by their first address, and none overlaps another of its family, so that only the last range that starts no
/// later than an address can hold it. Addresses of version 4 come before those of version 6, so no range holds both.
#[derive(Clone, Debug)]
pub(crate) struct NetSet(Box<[(IpAddr, IpAddr)]>);

impl NetSet {
    pub(crate) fn new(nets: &[IpNet]) -> Self {
        let mut ranges: Vec<_> = nets.iter().map(|net| (net.network(), net.broadcast())).collect();
        // Of two networks that overlap, one holds the other: the larger comes first and makes the others superfluous.
        ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        ranges.dedup_by(|later, earlier| later.1 <= earlier.1);
        Self(ranges.into_boxed_slice())
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= ip);
        after > 0 && ip <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_agrees_with_one_network_at_a_time() {
        let texts = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.255.0.0/16",
            "11.0.0.0/32",
            "0.0.0.0/32",
            "255.255.255.255/32",
            "192.168.7.0/24",
            "192.168.7.128/25",
            "::1/128",
            "fc00::/7",
            "fd00::/8",
            "::ffff:10.0.0.0/104",
        ];
        let nets: Vec<IpNet> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        assert_eq!(nets.len(), texts.len());
        let addresses = [
            "10.0.0.0",
            "10.1.2.3",
            "10.255.255.255",
            "11.0.0.0",
            "11.0.0.1",
            "9.255.255.255",
            "0.0.0.0",
            "0.0.0.1",
            "255.255.255.254",
            "255.255.255.255",
            "192.168.7.200",
            "192.168.8.0",
            "::",
            "::1",
            "::2",
            "fc00::1",
            "fe00::",
            "fd12::",
            "::ffff:10.1.2.3",
            "::ffff:11.0.0.0",
        ];
        for skipped in 0..=nets.len() {
            let some: Vec<_> = nets.iter().skip(skipped).copied().collect();
            let set = NetSet::new(&some);
            for address in addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
                let expected = some.iter().any(|net| net.contains(&address));
                assert_eq!(set.contains(address), expected, "{address} in {some:?}");
            }
        }
    }

    #[test]
    fn the_whole_of_a_family_is_a_network_and_nothing_is_in_none() {
        let all: Vec<IpNet> = ["0.0.0.0/0"]
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        assert!(NetSet::new(&all).contains(IpAddr::from([1, 2, 3, 4])));
        assert!(!NetSet::new(&all).contains(IpAddr::from([0_u16; 8])));
        assert!(!NetSet::new(&[]).contains(IpAddr::from([1, 2, 3, 4])));
    }
}
