//! The driver of a card for a saved state: what this project's translator takes, and what the card says of maps.

use std::sync::Arc;

use bpf::diag::Diagnostic;
use bpf::errno::Errno;
use bpf::facts::Facts;
use bpf::program::MapSpec;
use bpf::syscall::{MapsInUse, OffloadDriver, Refusal};
use bpf::verifier::VerifiedProgram;
use nic_model::profile::{CardProfile, MapSize, Oversize, builtin};
use offload_jit::{Mode, Rule};

/// A card's driver.
#[derive(Debug)]
pub struct CardDriver {
    profile: CardProfile,
}

impl CardDriver {
    /// The driver of a card that comes with the project, by its profile's name.
    ///
    /// # Errors
    /// `nic-unknown`.
    pub fn of(profile: &str) -> Result<Arc<dyn OffloadDriver>, Diagnostic> {
        Ok(Arc::new(CardDriver { profile: builtin(profile)? }))
    }
}

/// The number that the driver answers with.
const fn errno(rule: Rule) -> Errno {
    match rule {
        Rule::Helper | Rule::FirmwareHelper | Rule::StackSize | Rule::PacketReach => Errno::EOPNOTSUPP,
        Rule::Length => Errno::ENOSPC,
        _ => Errno::EINVAL,
    }
}

impl OffloadDriver for CardDriver {
    fn name(&self) -> String {
        self.profile.name.clone()
    }

    fn ports(&self) -> u8 {
        *self.profile.mac.ports
    }

    fn takes_every_map(&self) -> bool {
        self.profile.capabilities.map_types.iter().any(|ty| ty == "*")
    }

    fn translate(&self, program: &VerifiedProgram) -> Result<Vec<u8>, Refusal> {
        let capabilities = &self.profile.capabilities;
        let image = offload_jit::compile(program, &Facts::of(program), capabilities, Mode::of(capabilities));
        match image {
            Ok(image) => Ok(image.words().iter().flat_map(|word| word.to_le_bytes()).collect()),
            Err(reasons) => {
                let more = reasons.len().saturating_sub(1);
                let first = reasons.into_iter().next().expect("a refusal has a reason");
                let errno = errno(first.rule);
                let mut diagnostic = first.diagnostic;
                diagnostic.reason = format!("{errno}: {}", diagnostic.reason);
                if more > 0 {
                    let all = format!("sim check says the {more} other reasons");
                    let help = diagnostic.help.take().map_or(all.clone(), |help| format!("{help}; {all}"));
                    diagnostic = diagnostic.help(help);
                }
                Err(Refusal { errno: Some(errno), diagnostic: Box::new(diagnostic) })
            }
        }
    }

    /// The Linux nfp driver's checks in its order and its sentences (`offload.c`).
    fn map_alloc(&self, spec: &MapSpec, used: MapsInUse) -> Result<(), Refusal> {
        let c = &self.profile.capabilities;
        let refused = |errno: Errno, sentence: String| {
            let diagnostic = Diagnostic::new("bpf-refused", format!("{errno}: {sentence}"));
            Err(Refusal { errno: Some(errno), diagnostic: Box::new(diagnostic) })
        };
        if c.map_flags_refused(spec) != 0 {
            return refused(Errno::EINVAL, "map flags are not supported".to_owned());
        }
        if !c.takes_map(spec.ty) {
            return refused(Errno::EOPNOTSUPP, "map type not supported".to_owned());
        }
        if used.maps >= *c.max_maps {
            return refused(Errno::ENOMEM, "too many maps for a device".to_owned());
        }
        let left = c.max_elements.saturating_sub(used.entries);
        if left < u64::from(spec.max_entries) {
            let sentence = format!("map with too many elements: {}, left: {left}", spec.max_entries);
            return refused(Errno::ENOMEM, sentence);
        }
        for size in [MapSize::Element, MapSize::Key, MapSize::Value] {
            let Some(Oversize { actual, limit }) = c.map_oversize(spec, size) else { continue };
            let sentence = match size {
                MapSize::Element => {
                    format!("map elements too large: {actual}, FW max element size (key+value): {limit}")
                }
                MapSize::Key => format!("map key size {actual}, FW max is {limit}"),
                MapSize::Value => format!("map value size {actual}, FW max is {limit}"),
            };
            return refused(Errno::ENOMEM, sentence);
        }
        Ok(())
    }

    fn attach(&self, _: &VerifiedProgram, replaces: bool) -> Result<(), (Errno, String)> {
        if replaces && !*self.profile.capabilities.live_reload {
            return Err((Errno::EBUSY, "FW does not support live reload".to_owned()));
        }
        Ok(())
    }
}
