//! Parameters of events, which `evt.arg.NAME` and `evt.rawarg.NAME` read.
//!
//! A name that several events share has the type that the first of them gives it, as in Falco.

use super::FieldType::{
    self, AbsTime, Bytes, Int16, Int32, Int64, IpAddr, Port, Raw, RelTime, Text, Uint8, Uint16, Uint32,
    Uint64,
};

/// Names of all event parameters with their types, sorted by name.
#[rustfmt::skip]
const PARAMETERS: &[(&str, FieldType)] = &[
    ("ID", Uint16), ("action", Uint32), ("addr", Raw), ("arg", Uint64), ("arg2", Raw), ("arg2_int", Int64),
    ("arg2_str", Text), ("arg3", Raw), ("arg4", Raw), ("arg5", Raw), ("args", Bytes), ("argument", Uint64),
    ("argv", Raw), ("aux", Int32), ("backlog", Int32), ("cap_effective", Uint64),
    ("cap_inheritable", Uint64), ("cap_permitted", Uint64), ("cgroups", Bytes), ("clockid", Uint8),
    ("cmd", Uint8), ("comm", Text), ("container_id", Text), ("core", Uint8), ("cpu", Uint32),
    ("cpu_sys", Uint64), ("cpu_usr", Uint64), ("cq_entries", Uint32), ("creat_flags", Uint16),
    ("cur", Int64), ("cwd", Text), ("data", Bytes), ("desc", Text), ("description", Text), ("dev", Uint32),
    ("dir", Text), ("dirfd", Int64), ("domain", Uint32), ("dpid", Int64), ("dqb_bhardlimit", Uint64),
    ("dqb_bsoftlimit", Uint64), ("dqb_btime", RelTime), ("dqb_curspace", Uint64),
    ("dqb_ihardlimit", Uint64), ("dqb_isoftlimit", Uint64), ("dqb_itime", RelTime),
    ("dqi_bgrace", RelTime), ("dqi_flags", Uint8), ("dqi_igrace", RelTime), ("egid", Uint32),
    ("entries", Uint32), ("env", Bytes), ("error", Uint32), ("euid", Uint32), ("event_data", Uint64),
    ("event_type", Uint32), ("exe", Text), ("exe_ino", Uint64), ("exe_ino_ctime", AbsTime),
    ("exe_ino_mtime", AbsTime), ("exe_ino_num", Uint64), ("exepath", Text), ("fd", Int64), ("fd1", Int64),
    ("fd2", Int64), ("fd_in", Int64), ("fd_out", Int64), ("fd_type", Uint8), ("fdin", Int64),
    ("fdlimit", Uint64), ("fdout", Int64), ("fds", Raw), ("features", Uint32), ("filename", Text),
    ("first", Uint32), ("flags", Uint32), ("gid", Uint32), ("home", Text), ("how", Uint8), ("id", Uint32),
    ("image", Text), ("img", Bytes), ("in_fd", Int64), ("initval", Uint64), ("ino", Uint64),
    ("ino_num", Uint64), ("interval", RelTime), ("ip", Uint64), ("json", Text), ("key", Int32),
    ("last", Uint32), ("len", Uint64), ("length", Uint64), ("level", Uint8), ("linkdirfd", Int64),
    ("linkpath", Text), ("local_ip", IpAddr), ("local_port", Port), ("loginuid", Uint32), ("mask", Uint32),
    ("max", Int64), ("maxevents", Int64), ("min_complete", Uint32), ("mnt_id", Uint32), ("mode", Uint32),
    ("mountfd", Int64), ("msgcontrol", Bytes), ("name", Text), ("nativeID", Uint16), ("newcur", Int64),
    ("newdir", Int64), ("newdirfd", Int64), ("newfd", Int64), ("newmax", Int64), ("newpath", Text),
    ("next", Int64), ("nr_args", Uint32), ("nsems", Int32), ("nsops", Uint32), ("nstype", Uint32),
    ("offin", Uint64), ("offout", Uint64), ("offset", Uint64), ("oldcomm", Text), ("oldcur", Int64), ("olddir", Int64),
    ("olddirfd", Int64), ("oldfd", Int64), ("oldmax", Int64), ("oldpath", Text), ("op", Uint16),
    ("opcode", Uint16), ("operation", Uint32), ("option", Uint32), ("optlen", Uint32), ("optname", Uint8),
    ("out_fd", Int64), ("path", Text), ("pathname", Text), ("peer", Uint64), ("pgft_maj", Uint64),
    ("pgft_min", Uint64), ("pgid", Int64), ("pgoffset", Uint64), ("pid", Int64), ("pid_fd", Int64),
    ("pidns_init_start_ts", Uint64), ("plugin_id", Uint32), ("pos", Uint64), ("ppid", Int32),
    ("prot", Uint32), ("proto", Uint32), ("ptid", Int64), ("queuelen", Uint32), ("queuemax", Uint32),
    ("queuepct", Uint8), ("quota_fmt", Uint8), ("quota_fmt_out", Uint8), ("quotafilepath", Text),
    ("ratio", Uint32), ("reaper_tid", Int64), ("remote_ip", IpAddr), ("remote_port", Port),
    ("request", Uint64), ("res", Int64), ("res_or_fd", Raw), ("resolve", Uint32), ("resource", Uint8),
    ("ret", Int64), ("rgid", Uint32), ("root", Text), ("ruid", Uint32), ("scope", Text),
    ("sem_flg_0", Uint16), ("sem_flg_1", Uint16), ("sem_num_0", Uint16), ("sem_num_1", Uint16),
    ("sem_op_0", Int16), ("sem_op_1", Int16), ("semflg", Uint32), ("semid", Int32), ("semnum", Int32),
    ("sgid", Uint32), ("shell", Text), ("sid", Int32), ("sig", Uint8), ("sigmask", Uint32),
    ("size", Uint32), ("sk_pointer", Uint64), ("sk_proto", Uint16), ("sk_type", Uint16),
    ("source", Uint64), ("special", Text), ("spid", Int64), ("sq_entries", Uint32),
    ("sq_thread_cpu", Uint32), ("sq_thread_idle", Uint32), ("start_time", AbsTime), ("status", Int64),
    ("suid", Uint32), ("sun_path", Text), ("tags", Raw), ("target", Text), ("target_fd", Int64),
    ("tid", Int64), ("timeout", Int64), ("to_submit", Uint32), ("trusted_exepath", Text), ("tty", Int32),
    ("tuple", Raw), ("type", Uint32), ("uargs", Text), ("uid", Uint32), ("val", Raw),
    ("value_bytebuf", Bytes), ("value_charbuf", Text), ("vm_rss", Uint32), ("vm_size", Uint32),
    ("vm_swap", Uint32), ("vpgid", Int64), ("vpid", Int64), ("vtgid", Int32), ("vtid", Int64),
    ("whence", Uint8),
];

/// The type of the event parameter `name`, or `None` where no event has one of that name.
pub(super) fn parameter_type(name: &str) -> Option<FieldType> {
    let found = PARAMETERS
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()?;
    Some(PARAMETERS[found].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sorted_for_binary_search() {
        assert!(PARAMETERS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn shared_names_have_the_type_of_the_first_event() {
        for (name, expected) in [
            ("flags", Some(Uint32)),
            ("res", Some(Int64)),
            ("addr", Some(Raw)),
            ("nope", None),
        ] {
            assert_eq!(parameter_type(name), expected, "{name}");
        }
    }
}
