//! What kinds of rules there are that a program may break, as one table.

use std::fmt;

/// The kind of rule that a refused program breaks. It is named where the refusal is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Something is no pointer that may be followed, or what it points to may not be accessed that way.
    Access,
    /// Bytes are not where their size would have them.
    Alignment,
    /// A function or helper gets another kind of value than it takes.
    Argument,
    /// Arithmetic by a constant that has no meaning.
    Arithmetic,
    /// Jumps and functions do not fit together.
    ControlFlow,
    /// An instruction has no meaning.
    Encoding,
    /// A loop that never ends.
    EndlessLoop,
    /// A field of the context or of a socket that is not there.
    Field,
    /// Linux refuses the program for a mistake of its own.
    KernelMistake,
    /// A helper that takes a licence compatible with the GPL.
    Licence,
    /// The program, its walk, its stack or its calls are too large.
    Limit,
    /// A spin lock is held where it must not be, or not held.
    Lock,
    /// Bytes outside of a map's key or value.
    MapBounds,
    /// An instruction names a map that it cannot have.
    MapReference,
    /// Bytes outside of memory of known size.
    MemoryBounds,
    /// A helper that this program, or this map, cannot have.
    NotAvailable,
    /// A pointer that may be null.
    NullPointer,
    /// Bytes of the packet that were not shown to be there.
    PacketBounds,
    /// Arithmetic that this pointer does not allow.
    PointerArithmetic,
    /// Something the loader is not allowed.
    Privilege,
    /// A write to what can only be read.
    ReadOnly,
    /// A reference that is not given back, or was never taken.
    Reference,
    /// A result that may not be returned.
    ReturnValue,
    /// An address would become known to who may not see it.
    Secret,
    /// A size that may be negative, zero, unknown or too large.
    Size,
    /// A processor's speculation could not be kept in bounds.
    Speculation,
    /// Pointers on the stack are stored and loaded whole.
    Spill,
    /// Bytes outside of the stack.
    StackBounds,
    /// Type information is missing or does not fit.
    TypeInformation,
    /// A value that was never written, or is gone.
    Uninitialised,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 30] = [
        Class::Access,
        Class::Alignment,
        Class::Argument,
        Class::Arithmetic,
        Class::ControlFlow,
        Class::Encoding,
        Class::EndlessLoop,
        Class::Field,
        Class::KernelMistake,
        Class::Licence,
        Class::Limit,
        Class::Lock,
        Class::MapBounds,
        Class::MapReference,
        Class::MemoryBounds,
        Class::NotAvailable,
        Class::NullPointer,
        Class::PacketBounds,
        Class::PointerArithmetic,
        Class::Privilege,
        Class::ReadOnly,
        Class::Reference,
        Class::ReturnValue,
        Class::Secret,
        Class::Size,
        Class::Speculation,
        Class::Spill,
        Class::StackBounds,
        Class::TypeInformation,
        Class::Uninitialised,
    ];

    /// The row of the table: the code of diagnostics, the rule that is broken, what would help.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Class::Access => (
                "verifier-access",
                "only pointers to memory are followed, and only in ways that memory allows",
                "see where the register got its value, and take the pointer anew behind a call that changes the packet",
            ),
            Class::Alignment => (
                "verifier-alignment",
                "this access must be aligned to its size",
                "move the field to a multiple of its size, or access it byte by byte",
            ),
            Class::Argument => (
                "verifier-argument",
                "a call must get the kinds of values it takes",
                "pass what the function's prototype names",
            ),
            Class::Arithmetic => {
                ("verifier-arithmetic", "the constant has no meaning for this operation", "use a constant in range")
            }
            Class::ControlFlow => (
                "verifier-control-flow",
                "every instruction must be reachable, and every path must stay in its function up to an exit",
                "build the program with clang, which lays functions out so; take dead code out",
            ),
            Class::Encoding => (
                "verifier-encoding",
                "every instruction must have an encoding that Linux knows",
                "build the program for a BPF processor that Linux knows (-mcpu=v3)",
            ),
            Class::EndlessLoop => (
                "verifier-endless-loop",
                "a loop must come to an end on every path",
                "bound the loop by a constant, or use bpf_loop",
            ),
            Class::Field => (
                "verifier-field",
                "only certain fields can be accessed, whole or in certain parts, by this type of program",
                "access the field by its name and size, from a program of a type that has it",
            ),
            Class::KernelMistake => (
                "verifier-kernel-mistake",
                "Linux loses its way in the program and refuses it",
                "keep packet loads of classic heritage (LD_ABS, LD_IND) and tail calls out of functions that are called \
                 or called back",
            ),
            Class::Licence => (
                "verifier-licence",
                "some helpers are only for programs under a licence compatible with the GPL",
                "state the licence: char LICENSE[] SEC(\"license\") = \"GPL\"",
            ),
            Class::Limit => (
                "verifier-limit",
                "a program may have only so many instructions, paths, frames and bytes of stack",
                "make loops shorter, put large data into a map, split the program by tail calls",
            ),
            Class::Lock => (
                "verifier-lock",
                "one lock is held at a time, nothing is called meanwhile, and it is given back before the program ends",
                "unlock on every path, and before calls",
            ),
            Class::MapBounds => (
                "verifier-map-bounds",
                "an access must stay inside the map's key or value on every path",
                "compare the index with the size before it is used, in the type in which it is used",
            ),
            Class::MapReference => (
                "verifier-map-reference",
                "instructions may only name maps of the program, and addresses of values only of arrays with one entry",
                "define the map in the object",
            ),
            Class::MemoryBounds => (
                "verifier-memory-bounds",
                "an access must stay inside the memory on every path",
                "compare the offset with the size before it is used",
            ),
            Class::NotAvailable => (
                "verifier-not-available",
                "helpers and instructions are only for some types of programs and maps",
                "use a helper of this type of program, or attach the program elsewhere",
            ),
            Class::NullPointer => (
                "verifier-null-pointer",
                "a pointer that may be null must be compared with null before it is used",
                "check it: if (!value) return ...;",
            ),
            Class::PacketBounds => (
                "verifier-packet-bounds",
                "bytes of the packet may be accessed only behind a comparison with data_end that vouches for them",
                "check first: if (data + offset + size > data_end) return ...; with the same pointer",
            ),
            Class::PointerArithmetic => (
                "verifier-pointer-arithmetic",
                "pointers may only be moved, by bounded numbers, where their kind allows it",
                "bound the number on both sides before it is added; read fields through the pointer unmoved",
            ),
            Class::Privilege => (
                "verifier-privilege",
                "some programs and instructions take capabilities",
                "load the program with CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN where they are named",
            ),
            Class::ReadOnly => ("verifier-read-only", "R10 is the frame's and cannot be changed", "copy it first"),
            Class::Reference => (
                "verifier-reference",
                "what is taken must be given back on every path, once",
                "release the socket, or submit or discard the record, before every return",
            ),
            Class::ReturnValue => (
                "verifier-return-value",
                "a function must return a number, some within a range",
                "return a constant in the range",
            ),
            Class::Secret => (
                "verifier-secret",
                "who may not see addresses may neither store, compare nor return them",
                "load the program with CAP_PERFMON",
            ),
            Class::Size => (
                "verifier-size",
                "the size of memory must be known to be positive and small enough",
                "bound it from both sides: if (size == 0 || size > LIMIT) return ...; in an unsigned type",
            ),
            Class::Speculation => (
                "verifier-speculation",
                "pointers of programs that may not see addresses are masked, so their bounds must be plain",
                "use constant offsets, or load the program with CAP_PERFMON",
            ),
            Class::Spill => (
                "verifier-spill",
                "pointers go to the stack and come back whole, into the frame of the function they belong to",
                "store the pointer as 8 aligned bytes",
            ),
            Class::StackBounds => (
                "verifier-stack-bounds",
                "an access to the stack must stay inside the frame of 512 bytes on every path",
                "bound the index by the array's length before it is used; put large data into a map",
            ),
            Class::TypeInformation => (
                "verifier-type-information",
                "functions and map values that Linux checks by type must have types that fit",
                "build with -g, and keep the .BTF and .BTF.ext sections",
            ),
            Class::Uninitialised => (
                "verifier-uninitialised",
                "only what was written on every path that leads here may be read",
                "initialise the variable on every path; arguments are gone behind a call",
            ),
        }
    }

    /// The code of its diagnostics.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// The rule, one sentence without a full stop.
    pub const fn rule(self) -> &'static str {
        self.row().1
    }

    /// What would help.
    pub const fn help(self) -> &'static str {
        self.row().2
    }
}

impl fmt::Display for Class {
    /// Its name for tools, such as `packet-bounds`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().trim_start_matches("verifier-"))
    }
}
