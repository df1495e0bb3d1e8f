//! The interpreter as one engine among others.

use std::sync::Arc;

use super::{Contents, Packet, ProgramSet, Runner, Seen};
use crate::env::FixedEnv;
use crate::interp::{Code, Engine, EngineConfig, NoObserver, Observer, RunInput};
use crate::maps::MapId;
use crate::program::{ProgId, Program};

/// Runs sets on the interpreter.
#[derive(Debug)]
pub struct Interpreter {
    config: EngineConfig,
    /// What helpers are answered; every run starts from it.
    env: FixedEnv,
    loaded: Option<(Engine, Code)>,
}

impl Interpreter {
    /// An interpreter for machines like this. The byte order is the set's.
    pub fn new(config: EngineConfig, env: FixedEnv) -> Interpreter {
        Interpreter { config, env, loaded: None }
    }

    /// As [`Runner::run`], watched.
    pub fn run_observed(&mut self, packet: &Packet<'_>, observer: &mut impl Observer) -> Seen {
        let Some((engine, code)) = &mut self.loaded else {
            return Seen { fault: Some("no program is loaded".to_owned()), ..Seen::default() };
        };
        let input = RunInput { context: packet.context, packet: packet.bytes };
        let outcome = engine.run(code, input, &mut self.env.clone(), observer);
        Seen {
            r0: outcome.retval,
            whole: true,
            packet: engine.packet().to_vec(),
            retired: Some(outcome.retired),
            fault: outcome.fault.map(|fault| fault.to_string()),
        }
    }

    /// The machine with the set that is loaded.
    pub fn engine(&mut self) -> Option<&mut Engine> {
        self.loaded.as_mut().map(|(engine, _)| engine)
    }
}

fn prepare(config: &EngineConfig, set: &ProgramSet) -> Result<(Engine, Code), String> {
    let headline = |d: crate::diag::Diagnostic| d.headline();
    let config = EngineConfig { byte_order: set.main.byte_order, ..config.clone() };
    let mut engine = Engine::new(config, set.maps()).map_err(headline)?;
    let main = Code::new(&set.main).map_err(headline)?;
    let mut add =
        |program: &Program| Ok::<ProgId, String>(engine.add_program(Arc::new(Code::new(program).map_err(headline)?)));
    let itself = add(&set.main)?;
    let parts = set.parts.iter().map(add).collect::<Result<Vec<_>, _>>()?;
    for entry in &set.entries {
        let mut map = engine.map(MapId(entry.map as u32)).ok_or_else(|| format!("there is no map {}", entry.map))?;
        let definition = map.definition();
        let value = match definition.kind().per_cpu {
            true => {
                let mut one = entry.value.clone();
                one.resize(definition.user_value_size() / definition.cpus().max(1) as usize, 0);
                one.repeat(definition.cpus() as usize)
            }
            false => entry.value.clone(),
        };
        let name = definition.spec().name.clone();
        map.update(&entry.key, &value, 0).map_err(|errno| format!("map {name} does not take an entry: {errno}"))?;
    }
    for link in &set.links {
        let program = match link.part {
            None => itself,
            Some(at) => *parts.get(at).ok_or_else(|| format!("there is no part {at}"))?,
        };
        let mut map = engine.map(MapId(link.map as u32)).ok_or_else(|| format!("there is no map {}", link.map))?;
        map.set_program(link.slot, Some(program))
            .map_err(|errno| format!("slot {} takes no program: {errno}", link.slot))?;
    }
    Ok((engine, main))
}

impl Runner for Interpreter {
    fn name(&self) -> &str {
        "interpreter"
    }

    fn load(&mut self, set: &ProgramSet) -> Result<(), String> {
        self.loaded = None;
        self.loaded = Some(prepare(&self.config, set)?);
        Ok(())
    }

    fn run(&mut self, packet: &Packet<'_>) -> Seen {
        self.run_observed(packet, &mut NoObserver)
    }

    fn contents(&mut self, map: usize) -> Option<Contents> {
        let (engine, _) = self.loaded.as_mut()?;
        let mut map = engine.map(MapId(map as u32))?;
        if map.definition().kind().holds != crate::maps::Holds::Values {
            return None;
        }
        let mut entries = map.entries();
        entries.sort();
        Some(entries)
    }
}
