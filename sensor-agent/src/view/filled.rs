//! Which fields this agent gives a value: the one list, for `sensor fields` and the documentation.
//!
//! A test asks sample events of every kind for every field and compares the answers with this list.

use sensor_rules::field::Field;

/// Whether some event of this agent has a value for the field.
#[must_use]
pub const fn is_filled(field: Field) -> bool {
    is_of_what_happened(field)
        || is_of_who_did_it(field)
        || super::target::is_of_target(field)
        || super::container::is_of_container(field)
        || super::program::is_of_program(field)
        || super::environment::is_of_environment(field)
        || super::pod::is_of_pod(field)
}

/// The event itself, and the file or connection that it is about.
const fn is_of_what_happened(field: Field) -> bool {
    matches!(
        field,
        Field::EvtNum
            | Field::EvtTime
            | Field::EvtTimeS
            | Field::EvtTimeIso8601
            | Field::EvtDatetime
            | Field::EvtDatetimeS
            | Field::EvtRawtime
            | Field::EvtRawtimeS
            | Field::EvtRawtimeNs
            | Field::EvtReltime
            | Field::EvtReltimeS
            | Field::EvtReltimeNs
            | Field::EvtSource
            | Field::EvtIsAsync
            | Field::EvtHostname
            | Field::EvtOutputtime
            | Field::EvtDir
            | Field::EvtType
            | Field::EvtTypeIs
            | Field::SyscallType
            | Field::EvtCategory
            | Field::EvtCpu
            | Field::EvtArgs
            | Field::EvtArg
            | Field::EvtRawarg
            | Field::EvtInfo
            | Field::EvtRes
            | Field::EvtRawres
            | Field::EvtFailed
            | Field::EvtIsIo
            | Field::EvtIsIoRead
            | Field::EvtIsIoWrite
            | Field::EvtIsWait
            | Field::EvtIsSyslog
            | Field::EvtCount
            | Field::EvtCountError
            | Field::EvtCountExit
            | Field::EvtAbspath
            | Field::EvtIsOpenRead
            | Field::EvtIsOpenWrite
            | Field::EvtIsOpenExec
            | Field::EvtIsOpenCreate
            | Field::FdNum
            | Field::FdType
            | Field::FdTypechar
            | Field::FdName
            | Field::FdDirectory
            | Field::FdFilename
            | Field::FdIp
            | Field::FdCip
            | Field::FdSip
            | Field::FdLip
            | Field::FdRip
            | Field::FdPort
            | Field::FdCport
            | Field::FdSport
            | Field::FdLport
            | Field::FdRport
            | Field::FdL4proto
            | Field::FdSockfamily
            | Field::FdIsServer
            | Field::FdUid
            | Field::FdProto
            | Field::FdNet
            | Field::FdCnet
            | Field::FdSnet
            | Field::FdLnet
            | Field::FdRnet
            | Field::FdConnected
            | Field::FdNameChanged
            | Field::FdDev
            | Field::FdDevMajor
            | Field::FdDevMinor
            | Field::FdIno
            | Field::FdNameraw
            | Field::FdIsUpperLayer
            | Field::FdIsLowerLayer
            | Field::FsPathName
            | Field::FsPathNameraw
            | Field::EvtDenied
            | Field::EvtKilled
            | Field::FsPathSource
            | Field::FsPathSourceraw
            | Field::FsPathTarget
            | Field::FsPathTargetraw
            | Field::EvtTruncated
            | Field::EvtIncomplete
            | Field::EvtHook
            | Field::EvtViaIoUring
            | Field::SockFamily
            | Field::SockType
            | Field::SockProtocol
            | Field::SockCgroupDiffers
            | Field::PathMismatch
            | Field::PathUnresolved
    )
}

/// The process and its user.
const fn is_of_who_did_it(field: Field) -> bool {
    matches!(
        field,
        Field::ProcExe
            | Field::ProcPexe
            | Field::ProcAexe
            | Field::ProcExepath
            | Field::ProcPexepath
            | Field::ProcAexepath
            | Field::ProcName
            | Field::ProcPname
            | Field::ProcAname
            | Field::ProcArgs
            | Field::ProcAargs
            | Field::ProcCmdline
            | Field::ProcPcmdline
            | Field::ProcAcmdline
            | Field::ProcCmdnargs
            | Field::ProcCmdlenargs
            | Field::ProcExeline
            | Field::ProcCwd
            | Field::ProcLoginshellid
            | Field::ProcTty
            | Field::ProcPid
            | Field::ProcPpid
            | Field::ProcApid
            | Field::ProcVpid
            | Field::ProcPvpid
            | Field::ProcSid
            | Field::ProcSname
            | Field::ProcSidExe
            | Field::ProcSidExepath
            | Field::ProcPgid
            | Field::ProcPgidName
            | Field::ProcPgidExe
            | Field::ProcPgidExepath
            | Field::ProcDuration
            | Field::ProcPpidDuration
            | Field::ProcPidTs
            | Field::ProcPpidTs
            | Field::ProcIsExeWritable
            | Field::ProcIsExeUpperLayer
            | Field::ProcIsExeLowerLayer
            | Field::ProcIsExeFromMemfd
            | Field::ProcIsSidLeader
            | Field::ProcIsPgidLeader
            | Field::ProcExeIno
            | Field::ProcExeInoCtime
            | Field::ProcExeInoMtime
            | Field::ProcExeInoCtimeDurationProcStart
            | Field::ThreadCapPermitted
            | Field::ThreadCapInheritable
            | Field::ThreadCapEffective
            | Field::ThreadTid
            | Field::ThreadIsmain
            | Field::ThreadCgroups
            | Field::ThreadName
            | Field::ProcStdinType
            | Field::ProcStdoutType
            | Field::ProcStderrType
            | Field::ProcStdinName
            | Field::ProcStdoutName
            | Field::ProcStderrName
            | Field::FdTypes
            | Field::UserUid
            | Field::UserName
            | Field::UserHomedir
            | Field::UserShell
            | Field::UserLoginuid
            | Field::UserLoginname
            | Field::GroupGid
            | Field::GroupName
            | Field::UserVuid
            | Field::GroupVgid
            | Field::ProcKey
            | Field::ProcArgsTruncated
            | Field::ProcLineageIncomplete
    )
}

/// What to know of the values of a filled field, where they are less than Falco's.
#[must_use]
pub const fn limit(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::ContainerIp | Field::ContainerLabel | Field::ContainerLabels => {
            "of Docker's containers; of CRI's and Podman's where their sockets answer"
        }
        Field::ContainerImageId | Field::ContainerImageDigest => {
            "of Docker's and Podman's containers; of CRI's where its socket answers"
        }
        Field::EvtTime | Field::EvtTimeS | Field::EvtDatetime | Field::EvtDatetimeS => "in UTC",
        Field::UserName | Field::GroupName | Field::UserHomedir | Field::UserShell => {
            "by the files of the container's own root; a container that ended at once has only root"
        }
        Field::UserLoginname => "by the host's files",
        Field::ProcCwd | Field::ProcStdinType | Field::ProcStdoutType | Field::ProcStderrType => {
            "as it was when the program started"
        }
        Field::ProcStdinName | Field::ProcStdoutName | Field::ProcStderrName => {
            "of internet sockets, as they were when the program started"
        }
        Field::FdTypes => "by an index up to 2, as they were when the program started",
        _ => return None,
    })
}
