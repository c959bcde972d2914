//! The one table of kernel fields that the programs read.
//!
//! Offsets are not compiled in: at start the agent looks each field up in the kernel's BTF and hands the
//! programs one array of them as read-only data, which the verifier takes for constants. A field that a
//! kernel lacks has the offset [`MISSING`]; the verifier then drops the code that would read it.

/// The offset of a field that this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// Stands in the programs' code for the number of the kernel function `bpf_rdonly_cast`, which only the
/// running kernel's BTF tells: the agent turns each call of this helper, which no kernel has, into a call
/// of that function before it loads the programs. Without it the calls are dead code.
pub const CAST_CALL: i32 = 0x6ca5_7a11;

/// Where a field may be found: the first place that exists counts.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The structure's name.
    pub structure: &'static str,
    /// The member, or a path of members joined by dots. Anonymous members are looked into.
    pub member: &'static str,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Its name in `sensor doctor`.
    pub name: &'static str,
    /// In order of preference: newest kernels first.
    pub places: &'static [Place],
    /// What works without it: nothing, or all but the thing named here.
    pub without: Option<&'static str>,
}

macro_rules! kernel_fields {
    ($($(#[$doc:meta])* $name:ident: $($structure:literal . $member:literal)|+ $(, without $without:literal)?;)+) => {
        /// Index of a field in the table of offsets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(non_camel_case_types, reason = "named after the kernel's own fields")]
        pub enum KernelField { $($(#[$doc])* $name,)+ }

        /// Every field, in the order of [`KernelField`].
        pub const FIELDS: &[FieldSpec] = &[
            $(FieldSpec {
                name: stringify!($name),
                places: &[$(Place { structure: $structure, member: $member }),+],
                without: kernel_fields!(@without $($without)?),
            },)+
        ];
    };
    (@without) => { None };
    (@without $without:literal) => { Some($without) };
}

kernel_fields! {
    /// `include/linux/sched.h`
    task_tgid: "task_struct"."tgid";
    /// Thread id.
    task_pid: "task_struct"."pid";
    /// Where its kernel stack begins.
    task_stack: "task_struct"."stack", without "which call sent a datagram";
    /// Thread group leader, whose start time is the process's.
    task_group_leader: "task_struct"."group_leader";
    /// `start_boottime` since 5.5, `real_start_time` before.
    task_start_boottime: "task_struct"."start_boottime" | "task_struct"."real_start_time";
    /// Parent, tracers left aside.
    task_real_parent: "task_struct"."real_parent";
    /// Address space.
    task_mm: "task_struct"."mm";
    /// Root and working directory.
    task_fs: "task_struct"."fs";
    /// Open files.
    task_files: "task_struct"."files";
    /// Namespaces.
    task_nsproxy: "task_struct"."nsproxy";
    /// What the threads of a process share.
    task_signal: "task_struct"."signal";
    /// Effective credentials.
    task_cred: "task_struct"."cred";
    /// Thread's name.
    task_comm: "task_struct"."comm";
    /// Set of cgroups.
    task_cgroups: "task_struct"."cgroups";
    /// Exit status.
    task_exit_code: "task_struct"."exit_code";
    /// Audit user id (`CONFIG_AUDIT`).
    task_loginuid: "task_struct"."loginuid", without "user.loginuid";
    /// Its pid structure; `task_struct.pids` was something else before 4.19.
    task_thread_pid: "task_struct"."thread_pid", without "proc.vpid and the pid namespace";
    /// `TS_COMPAT` is in here (`arch/x86/include/asm/thread_info.h`).
    task_thread_status: "task_struct"."thread_info.status";

    /// `include/linux/mm_types.h`
    mm_arg_start: "mm_struct"."arg_start";
    /// End of argv.
    mm_arg_end: "mm_struct"."arg_end";

    /// `include/linux/cred.h`
    cred_uid: "cred"."uid";
    /// Real group id.
    cred_gid: "cred"."gid";
    /// Saved user id.
    cred_suid: "cred"."suid";
    /// Saved group id.
    cred_sgid: "cred"."sgid";
    /// Effective user id.
    cred_euid: "cred"."euid";
    /// Effective group id.
    cred_egid: "cred"."egid";
    /// Capabilities: 64 bits on every kernel, as two words before 6.3.
    cred_cap_inheritable: "cred"."cap_inheritable";
    /// Permitted.
    cred_cap_permitted: "cred"."cap_permitted";
    /// Effective.
    cred_cap_effective: "cred"."cap_effective";
    /// User namespace.
    cred_user_ns: "cred"."user_ns";

    /// `include/linux/sched/signal.h`
    signal_live: "signal_struct"."live";
    /// Array of pids by `enum pid_type`.
    signal_pids: "signal_struct"."pids", without "proc.sid and proc.pgid";
    /// Controlling terminal.
    signal_tty: "signal_struct"."tty", without "proc.tty";
    /// `include/linux/tty.h`
    tty_driver: "tty_struct"."driver", without "proc.tty";
    /// Index within its driver.
    tty_index: "tty_struct"."index", without "proc.tty";
    /// `include/linux/tty_driver.h`
    tty_driver_major: "tty_driver"."major", without "proc.tty";
    /// First minor number.
    tty_driver_minor_start: "tty_driver"."minor_start", without "proc.tty";

    /// `include/linux/pid.h`
    pid_level: "pid"."level", without "proc.vpid and the pid namespace";
    /// One per level.
    pid_numbers: "pid"."numbers", without "proc.vpid and the pid namespace";
    /// Number at that level.
    upid_nr: "upid"."nr", without "proc.vpid and the pid namespace";
    /// Namespace of that level.
    upid_ns: "upid"."ns", without "proc.vpid and the pid namespace";

    /// `include/linux/nsproxy.h`
    nsproxy_mnt_ns: "nsproxy"."mnt_ns";
    /// Network namespace.
    nsproxy_net_ns: "nsproxy"."net_ns";
    /// `fs/mount.h`
    mnt_namespace_inum: "mnt_namespace"."ns.inum";
    /// `include/linux/pid_namespace.h`
    pid_namespace_inum: "pid_namespace"."ns.inum";
    /// `include/net/net_namespace.h`
    net_inum: "net"."ns.inum";
    /// `include/linux/user_namespace.h`
    user_namespace_inum: "user_namespace"."ns.inum";

    /// `include/linux/fs_struct.h`
    fs_pwd: "fs_struct"."pwd";
    /// The task's root.
    fs_root: "fs_struct"."root";
    /// `include/linux/path.h`
    path_mnt: "path"."mnt";
    /// Name in its directory.
    path_dentry: "path"."dentry";
    /// `include/linux/mount.h`
    vfsmount_mnt_root: "vfsmount"."mnt_root";
    /// `fs/mount.h`: the mount around a `vfsmount`.
    mount_mnt: "mount"."mnt";
    /// Mount that it is mounted on.
    mount_mnt_parent: "mount"."mnt_parent";
    /// Where it is mounted.
    mount_mnt_mountpoint: "mount"."mnt_mountpoint";
    /// `include/linux/dcache.h`
    dentry_d_parent: "dentry"."d_parent";
    /// Anonymous union with `__d_name` from 6.16 on.
    dentry_d_name: "dentry"."d_name" | "dentry"."__d_name";
    /// Length, in bytes; within an anonymous structure.
    qstr_len: "qstr"."len";
    /// Bytes.
    qstr_name: "qstr"."name";

    /// `include/linux/fs.h`; in an anonymous union from 6.12 on.
    file_f_path: "file"."f_path" | "file"."__f_path";
    /// Inode.
    file_f_inode: "file"."f_inode";
    /// `O_*` without the creation flags.
    file_f_flags: "file"."f_flags";
    /// `FMODE_*`
    file_f_mode: "file"."f_mode";
    /// Of a socket, its `struct socket`.
    file_private_data: "file"."private_data";
    /// `include/linux/fdtable.h`
    files_fdt: "files_struct"."fdt";
    /// Size of the table.
    fdtable_max_fds: "fdtable"."max_fds";
    /// Table of files.
    fdtable_fd: "fdtable"."fd";

    /// `include/linux/fs.h`
    inode_i_ino: "inode"."i_ino";
    /// Type and permissions.
    inode_i_mode: "inode"."i_mode";
    /// Of a descriptor that stands for a process, its pid structure, since 6.9.
    inode_i_private: "inode"."i_private", without "which process a pidfd stands for";
    /// Owner.
    inode_i_uid: "inode"."i_uid";
    /// Number of names; in an anonymous union.
    inode_i_nlink: "inode"."i_nlink" | "inode"."__i_nlink";
    /// File system.
    inode_i_sb: "inode"."i_sb";
    /// Seconds: one field of its own from 6.11 on, a `timespec64` before (`__i_ctime` from 6.6 on).
    inode_i_ctime_sec: "inode"."i_ctime_sec" | "inode"."__i_ctime.tv_sec" | "inode"."i_ctime.tv_sec",
        without "proc.exe_ino.ctime";
    /// Nanoseconds.
    inode_i_ctime_nsec: "inode"."i_ctime_nsec" | "inode"."__i_ctime.tv_nsec" | "inode"."i_ctime.tv_nsec",
        without "proc.exe_ino.ctime";
    /// As for ctime (`__i_mtime` from 6.7 on).
    inode_i_mtime_sec: "inode"."i_mtime_sec" | "inode"."__i_mtime.tv_sec" | "inode"."i_mtime.tv_sec",
        without "proc.exe_ino.mtime";
    /// Nanoseconds.
    inode_i_mtime_nsec: "inode"."i_mtime_nsec" | "inode"."__i_mtime.tv_nsec" | "inode"."i_mtime.tv_nsec",
        without "proc.exe_ino.mtime";
    /// Device number.
    super_block_s_dev: "super_block"."s_dev";
    /// Which file system (`include/uapi/linux/magic.h`).
    super_block_s_magic: "super_block"."s_magic";
    /// `fs/overlayfs/ovl_entry.h`; in vmlinux only when overlayfs is built in.
    ovl_inode_vfs_inode: "ovl_inode"."vfs_inode", without "proc.is_exe_upper_layer and fd.is_upper_layer";
    /// Inode's name in the upper layer.
    ovl_inode_upperdentry: "ovl_inode"."__upperdentry",
        without "proc.is_exe_upper_layer and fd.is_upper_layer";

    /// `include/linux/binfmts.h`
    binprm_file: "linux_binprm"."file";
    /// Name that the program was called by.
    binprm_filename: "linux_binprm"."filename";
    /// Name of the interpreter.
    binprm_interp: "linux_binprm"."interp";
    /// Set when the program was named by a descriptor (5.9).
    binprm_fdpath: "linux_binprm"."fdpath", without "evt.type=execveat";
    /// Number of arguments.
    binprm_argc: "linux_binprm"."argc";

    /// `include/linux/cgroup-defs.h`
    css_set_dfl_cgrp: "css_set"."dfl_cgrp";
    /// Cgroups of the v1 hierarchies.
    css_set_subsys: "css_set"."subsys";
    /// Cgroup of a subsystem's state.
    css_cgroup: "cgroup_subsys_state"."cgroup";
    /// Its directory.
    cgroup_kn: "cgroup"."kn";
    /// `include/linux/kernfs.h`; `__parent` from 6.15 on.
    kernfs_node_parent: "kernfs_node"."__parent" | "kernfs_node"."parent";
    /// Name in its directory.
    kernfs_node_name: "kernfs_node"."name";
    /// Cgroup id; a union until 5.4.
    kernfs_node_id: "kernfs_node"."id";

    /// `include/linux/io_uring_types.h`: the operation.
    req_opcode: "io_kiocb"."opcode", without "io_uring";
    /// What it is done to.
    req_file: "io_kiocb"."file", without "io_uring";
    /// What came of it.
    req_result: "io_kiocb"."cqe.res", without "io_uring";
    /// The ring.
    req_ring: "io_kiocb"."ctx", without "files in a ring's own table";
    /// Its own files, by slot (6.13).
    ring_files: "io_ring_ctx"."file_table.data.nodes", without "files in a ring's own table";
    /// One of them, with bits beside the address.
    ring_file: "io_rsrc_node"."file_ptr", without "files in a ring's own table";
    /// `include/linux/fs.h`: a name as the kernel has copied it.
    filename_name: "filename"."name", without "names given through io_uring";
    /// `io_uring/openclose.c`
    io_open_dfd: "io_open"."dfd", without "opens through io_uring";
    /// Where the file goes: 0 for a descriptor.
    io_open_slot: "io_open"."file_slot", without "opens through io_uring";
    /// The name; in a structure of its own from 7.0 on.
    io_open_filename: "io_open"."filename", without "opens through io_uring";
    /// `O_*`
    io_open_flags: "io_open"."how.flags", without "opens through io_uring";
    /// Permissions of a new file.
    io_open_mode: "io_open"."how.mode", without "opens through io_uring";
    /// `io_uring/fs.c`
    io_unlink_dfd: "io_unlink"."dfd", without "unlinkat through io_uring";
    /// `AT_*`
    io_unlink_flags: "io_unlink"."flags", without "unlinkat through io_uring";
    /// The name.
    io_unlink_filename: "io_unlink"."filename", without "unlinkat through io_uring";
    /// The folder.
    io_mkdir_dfd: "io_mkdir"."dfd", without "mkdirat through io_uring";
    /// Permissions.
    io_mkdir_mode: "io_mkdir"."mode", without "mkdirat through io_uring";
    /// The name.
    io_mkdir_filename: "io_mkdir"."filename", without "mkdirat through io_uring";
    /// The folder of the old name.
    io_rename_old_dfd: "io_rename"."old_dfd", without "renameat through io_uring";
    /// The folder of the new one.
    io_rename_new_dfd: "io_rename"."new_dfd", without "renameat through io_uring";
    /// The old name.
    io_rename_oldpath: "io_rename"."oldpath", without "renameat through io_uring";
    /// The new one.
    io_rename_newpath: "io_rename"."newpath", without "renameat through io_uring";
    /// `RENAME_*`
    io_rename_flags: "io_rename"."flags", without "renameat through io_uring";
    /// The folder of the target's name; symbolic links use the same structure.
    io_link_old_dfd: "io_link"."old_dfd", without "linkat through io_uring";
    /// The folder of the link's.
    io_link_new_dfd: "io_link"."new_dfd", without "linkat through io_uring";
    /// The target.
    io_link_oldpath: "io_link"."oldpath", without "linkat through io_uring";
    /// The link.
    io_link_newpath: "io_link"."newpath", without "linkat through io_uring";
    /// `AT_*`
    io_link_flags: "io_link"."flags", without "linkat through io_uring";
    /// `io_uring/net.c`
    io_socket_domain: "io_socket"."domain", without "socket through io_uring";
    /// `SOCK_*`
    io_socket_type: "io_socket"."type", without "socket through io_uring";
    /// `IPPROTO_*`
    io_socket_protocol: "io_socket"."protocol", without "socket through io_uring";
    /// Where it goes: 0 for a descriptor.
    io_socket_slot: "io_socket"."file_slot", without "socket through io_uring";
    /// `SOCK_*` flags of the new socket.
    io_accept_flags: "io_accept"."flags", without "accept through io_uring";
    /// Where it goes: 0 for a descriptor.
    io_accept_slot: "io_accept"."file_slot", without "accept through io_uring";
    /// How many connections may wait (6.11).
    io_listen_backlog: "io_listen"."backlog", without "listen through io_uring";
    /// The caller's address.
    io_connect_addr: "io_connect"."addr", without "connect of unix sockets through io_uring";
    /// Its length.
    io_connect_addr_len: "io_connect"."addr_len", without "connect of unix sockets through io_uring";

    /// `include/linux/net.h`
    socket_sk: "socket"."sk", without "connect";
    /// `SOCK_*`
    socket_type: "socket"."type", without "connect";
    /// `include/net/sock.h`
    sock_family: "sock_common"."skc_family", without "connect";
    /// IPv4 peer; in an anonymous union.
    sock_daddr: "sock_common"."skc_daddr", without "connect";
    /// IPv4 own address.
    sock_rcv_saddr: "sock_common"."skc_rcv_saddr", without "connect";
    /// Peer's port, network order.
    sock_dport: "sock_common"."skc_dport", without "connect";
    /// Own port, host order.
    sock_num: "sock_common"."skc_num", without "connect";
    /// IPv6 peer (`CONFIG_IPV6`).
    sock_v6_daddr: "sock_common"."skc_v6_daddr", without "connect over IPv6";
    /// IPv6 own address.
    sock_v6_rcv_saddr: "sock_common"."skc_v6_rcv_saddr", without "connect over IPv6";
    /// Network namespace.
    sock_net: "sock_common"."skc_net.net", without "the network namespace of connect";
    /// Set by the first who asks for it, unique until the machine stops.
    sock_cookie: "sock_common"."skc_cookie", without "how connections ended";
    /// `TCP_*` state of the connection.
    sock_state: "sock_common"."skc_state", without "how connections ended";
    /// `SOCK_*`; a bit field until 5.5.
    sock_type: "sock"."sk_type", without "the kind of sockets";
    /// Why a connection ended.
    sock_err: "sock"."sk_err", without "how connections ended";
    /// What the descriptor stands for, of a socket that has one.
    sock_socket: "sock"."sk_socket", without "whether a connect waits";
    /// The cgroup it was made in; in a union of another shape before 5.14.
    sock_cgroup: "sock"."sk_cgrp_data.cgroup", without "sock.cgroup_differs";
    /// Connections that wait to be accepted.
    sock_ack_backlog: "sock"."sk_ack_backlog", without "the queue of accept";
    /// How many may.
    sock_max_ack_backlog: "sock"."sk_max_ack_backlog", without "the queue of accept";
    /// Its file.
    socket_file: "socket"."file", without "whether a connect waits";
    /// `IPPROTO_*`; a bit field until 5.5.
    sock_protocol: "sock"."sk_protocol", without "connect";
    /// `include/net/af_unix.h`; missing where unix sockets are a module.
    unix_sock_peer: "unix_sock"."peer", without "the peer's address of unix sockets";
    /// Address that it is bound to.
    unix_sock_addr: "unix_sock"."addr", without "the peer's address of unix sockets";
    /// Where it is bound.
    unix_sock_path: "unix_sock"."path", without "the peer's address of unix sockets";
    /// Length of the address.
    unix_address_len: "unix_address"."len", without "the peer's address of unix sockets";
    /// Address.
    unix_address_name: "unix_address"."name", without "the peer's address of unix sockets";
}

/// Number of fields.
pub const FIELD_COUNT: usize = FIELDS.len();
