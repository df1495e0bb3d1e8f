//! Results of requests, as the card names them and as user space sees them.

use bpf::errno::Errno;

/// The word behind an answer's header (Linux nfp driver, `fw.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

/// Name, number and what the driver makes of it, one row each.
const TABLE: [(Status, Errno, &str); 7] = [
    (Status::NO_TABLE, Errno::EBADFD, "the card has no such table"),
    (Status::NO_ENTRY, Errno::ENOENT, "there is no such entry"),
    (Status::BAD_OPERATION, Errno::EINVAL, "the table does not take the operation"),
    (Status::BAD_MESSAGE, Errno::EIO, "the card could not read the message"),
    (Status::EXISTS, Errno::EEXIST, "there is an entry already"),
    (Status::NO_MEMORY, Errno::ENOMEM, "the card has no memory left"),
    (Status::FULL, Errno::E2BIG, "the table is full, or the key beyond its end"),
];

impl Status {
    /// Done.
    pub const SUCCESS: Status = Status(0);
    /// No table of that number.
    pub const NO_TABLE: Status = Status(1);
    /// No entry under that key, or none after it.
    pub const NO_ENTRY: Status = Status(2);
    /// Not with this table.
    pub const BAD_OPERATION: Status = Status(3);
    /// Not a message, or one of another length than it says.
    pub const BAD_MESSAGE: Status = Status(4);
    /// An entry is there that must not be.
    pub const EXISTS: Status = Status(5);
    /// No room for a table or an entry.
    pub const NO_MEMORY: Status = Status(6);
    /// The table has as many entries as it may.
    pub const FULL: Status = Status(7);

    /// What an operation of a map came to, as the card says it. Numbers that have no word of their own become
    /// [`Status::BAD_OPERATION`].
    pub fn of(result: Result<(), Errno>) -> Status {
        match result {
            Ok(()) => Status::SUCCESS,
            Err(errno) => {
                TABLE.iter().find(|(_, e, _)| *e == errno).map_or(Status::BAD_OPERATION, |(status, ..)| *status)
            }
        }
    }

    /// What the driver hands to user space: `EIO` for a word that it does not know.
    ///
    /// # Errors
    /// The number of a failure.
    pub fn to_errno(self) -> Result<(), Errno> {
        match self {
            Status::SUCCESS => Ok(()),
            status => Err(TABLE.iter().find(|(s, ..)| *s == status).map_or(Errno::EIO, |(_, errno, _)| *errno)),
        }
    }

    /// What it means, in words.
    pub fn words(self) -> &'static str {
        match self {
            Status::SUCCESS => "done",
            status => TABLE.iter().find(|(s, ..)| *s == status).map_or("the card says what nobody knows", |row| row.2),
        }
    }
}
