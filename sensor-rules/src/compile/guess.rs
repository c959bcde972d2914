//! What is guessed of values before any was seen.

use crate::field::{Field, FieldRef};

/// Whether a field's values are so many that a given one is rare: names, paths, command lines, ports.
///
/// Others (`fd.typechar`, `evt.res`, `container.id`, `user.name`) have few values, or one that most events have, so
/// that a comparison with a constant decides little.
pub(crate) const fn has_many_values(field: &FieldRef) -> bool {
    matches!(
        field.field,
        Field::ProcName
            | Field::ProcExe
            | Field::ProcExepath
            | Field::ProcCmdline
            | Field::ProcExeline
            | Field::ProcArgs
            | Field::ProcPname
            | Field::ProcPexe
            | Field::ProcPexepath
            | Field::ProcPcmdline
            | Field::ProcAname
            | Field::ProcAexe
            | Field::ProcAexepath
            | Field::ProcAcmdline
            | Field::FdName
            | Field::FdNameraw
            | Field::FdDirectory
            | Field::FdFilename
            | Field::FdSport
            | Field::FdCport
            | Field::FdLport
            | Field::FdRport
    )
}
