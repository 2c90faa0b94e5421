//! In which global transaction work runs.

use crate::DtxError;
use crate::context::Global;

/// In which global transaction work runs, by whether one is open in the task.
///
/// | | inside an open one | outside |
/// |---|---|---|
/// | `Required` | joins it | begins one |
/// | `RequiresNew` | puts it aside and begins one | begins one |
/// | `Supports` | joins it | none |
/// | `NotSupported` | puts it aside, none | none |
/// | `Mandatory` | joins it | [`DtxError::NoTransaction`] |
/// | `Never` | [`DtxError::TransactionOpen`] | none |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagation {
    /// In the open one, else in one of its own.
    #[default]
    Required,
    /// In one of its own, whose outcome and the open one's have nothing to do with each other.
    RequiresNew,
    /// In the open one, if there is one.
    Supports,
    /// In none.
    NotSupported,
    /// In the open one, which there has to be.
    Mandatory,
    /// In none, and none may be open.
    Never,
}

/// Where work runs.
#[derive(Debug)]
pub(super) enum Chosen {
    Joined(Global),
    Own,
    Nothing,
}

impl Propagation {
    pub(super) fn choose(self, open: Option<Global>) -> Result<Chosen, DtxError> {
        Ok(match (self, open) {
            (Self::Required | Self::Supports | Self::Mandatory, Some(open)) => Chosen::Joined(open),
            (Self::Required, None) | (Self::RequiresNew, _) => Chosen::Own,
            (Self::Mandatory, None) => return Err(DtxError::NoTransaction),
            (Self::Never, Some(open)) => return Err(DtxError::TransactionOpen { xid: open.xid().to_owned() }),
            (Self::Supports | Self::Never, None) | (Self::NotSupported, _) => Chosen::Nothing,
        })
    }
}
