//! Service names, which a port may be written as.
//!
//! Falco asks the host's `/etc/services`; the table here is Debian's, so that a rule means the same on every host.

/// Names with their ports, sorted by name.
#[rustfmt::skip]
const SERVICES: &[(&str, u16)] = &[
    ("afpovertcp", 548), ("amanda", 10080), ("amqp", 5672), ("amqps", 5671), ("asf-rmcp", 623),
    ("auth", 113), ("babel", 6696), ("bacula-dir", 9101), ("bacula-fd", 9102), ("bacula-sd", 9103),
    ("bbs", 7000), ("bgp", 179), ("biff", 512), ("bootpc", 68), ("bootps", 67), ("cfengine", 5308),
    ("chargen", 19), ("cisco-sccp", 2000), ("clearcase", 371), ("cmip-agent", 164), ("cmip-man", 163),
    ("codaauth2", 370), ("codasrv", 2432), ("codasrv-se", 2433), ("cvspserver", 2401), ("daap", 3689),
    ("datametrics", 1645), ("daytime", 13), ("db-lsp", 17500), ("dcap", 22125), ("dhcpv6-client", 546),
    ("dhcpv6-server", 547), ("dicom", 11112), ("dict", 2628), ("discard", 9), ("distcc", 3632),
    ("domain", 53), ("domain-s", 853), ("echo", 7), ("epmap", 135), ("epmd", 4369), ("exec", 512),
    ("f5-globalsite", 2792), ("f5-iquery", 4353), ("finger", 79), ("font-service", 7100),
    ("freeciv", 5556), ("ftp", 21), ("ftp-data", 20), ("ftps", 990), ("ftps-data", 989), ("gdomap", 538),
    ("gds-db", 3050), ("gnunet", 2086), ("gnutella-rtr", 6347), ("gnutella-svc", 6346), ("gopher", 70),
    ("gpsd", 2947), ("gris", 2135), ("groupwise", 1677), ("gsidcap", 22128), ("gsiftp", 2811),
    ("gsigatekeeper", 2119), ("hkp", 11371), ("http", 80), ("http-alt", 8080), ("https", 443),
    ("iax", 4569), ("icpv2", 3130), ("imap", 143), ("imap2", 143), ("imaps", 993), ("ingreslock", 1524),
    ("ipp", 631), ("ipsec-nat-t", 4500), ("ipx", 213), ("ircs-u", 6697), ("isakmp", 500),
    ("iscsi-target", 3260), ("isns", 3205), ("iso-tsap", 102), ("kerberos", 88), ("kerberos-adm", 749),
    ("kermit", 1649), ("klogin", 543), ("kpasswd", 464), ("kshell", 544), ("l2f", 1701), ("ldap", 389),
    ("ldaps", 636), ("ldp", 646), ("login", 513), ("lotusnote", 1352), ("mailq", 174), ("mdns", 5353),
    ("microsoft-ds", 445), ("mon", 2583), ("ms-sql-m", 1434), ("ms-sql-s", 1433), ("ms-wbt-server", 3389),
    ("mtn", 4691), ("mysql", 3306), ("mysql-proxy", 6446), ("nbd", 10809), ("netbios-dgm", 138),
    ("netbios-ns", 137), ("netbios-ssn", 139), ("netstat", 15), ("nfs", 2049), ("nntp", 119),
    ("nntps", 563), ("nqs", 607), ("ntalk", 518), ("ntp", 123), ("ntske", 4460), ("nut", 3493),
    ("openvpn", 1194), ("pawserv", 345), ("pop2", 109), ("pop3", 110), ("pop3s", 995),
    ("postgresql", 5432), ("printer", 515), ("proofd", 1093), ("ptp-event", 319), ("ptp-general", 320),
    ("puppet", 8140), ("qmqp", 628), ("qmtp", 209), ("qotd", 17), ("radius", 1812), ("radius-acct", 1813),
    ("radmin-port", 4899), ("redis", 6379), ("remctl", 4373), ("rmiregistry", 1099), ("rootd", 1094),
    ("route", 520), ("rpc2portmap", 369), ("rsync", 873), ("rtcm-sc104", 2101), ("rtsp", 554),
    ("sa-msg-port", 1646), ("saft", 487), ("sftp", 115), ("sge-execd", 6445), ("sge-qmaster", 6444),
    ("shell", 514), ("sieve", 4190), ("silc", 706), ("sip", 5060), ("sip-tls", 5061), ("smtp", 25),
    ("smtps", 465), ("smux", 199), ("snmp", 161), ("snmp-trap", 162), ("snmptrap", 162), ("snpp", 444),
    ("socks", 1080), ("ssh", 22), ("submission", 587), ("submissions", 465), ("sunrpc", 111),
    ("suucp", 4031), ("svn", 3690), ("svrloc", 427), ("syslog", 514), ("sysrqd", 4094), ("systat", 11),
    ("tacacs", 49), ("talk", 517), ("tcpmux", 1), ("telnet", 23), ("telnets", 992), ("tftp", 69),
    ("time", 37), ("tinc", 655), ("ulistserv", 372), ("uucp", 540), ("venus", 2430), ("venus-se", 2431),
    ("who", 513), ("whois", 43), ("wnn6", 22273), ("x11", 6000), ("x11-1", 6001), ("xdmcp", 177),
    ("xmms2", 9667), ("xmpp-client", 5222), ("xmpp-server", 5269), ("z3950", 210), ("zabbix-agent", 10050),
    ("zabbix-trapper", 10051), ("zserv", 346),
];

/// The port of the service `name`.
pub(crate) fn service_port(name: &str) -> Option<u16> {
    let found = SERVICES.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(SERVICES[found].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_sorted_and_found() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0));
        for (name, port) in [
            ("ssh", Some(22)),
            ("https", Some(443)),
            ("nope", None),
            ("", None),
        ] {
            assert_eq!(service_port(name), port, "{name}");
        }
    }
}
