//! Loaded programs and their maps on a machine that runs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::objects::{MapObject, Object};
use super::references::{held, keys};
use super::system::System;
use crate::diag::Diagnostic;
use crate::env::Env;
use crate::interp::{Code, Engine, EngineConfig, Observer, Outcome, RunInput};
use crate::maps::{AccessLog, Holds, Linear, MapId};
use crate::program::ProgId;

/// Programs ready to run, with every map and program that they can reach. Maps are as they were when it was made;
/// [`System::absorb`] takes back what runs did to them.
#[derive(Debug)]
pub struct Assembly {
    engine: Engine,
    codes: BTreeMap<u32, Arc<Code>>,
    /// Numbers of the maps, by their place in the engine.
    maps: Vec<u32>,
}

impl Assembly {
    /// The engine.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// A program's code for [`Assembly::engine`], by its number in the system.
    pub fn code(&self, program: u32) -> Option<&Code> {
        self.codes.get(&program).map(Arc::as_ref)
    }

    /// A map's place in the engine.
    pub fn map(&self, id: u32) -> Option<MapId> {
        self.maps.iter().position(|map| *map == id).map(|at| MapId(at as u32))
    }

    /// Runs a program on a packet; `None` if it is none of these.
    pub fn run<O: Observer>(
        &mut self,
        program: u32,
        input: RunInput<'_>,
        env: &mut dyn Env,
        observer: &mut O,
    ) -> Option<Outcome> {
        let code = self.codes.get(&program)?;
        Some(self.engine.run(code, input, env, observer))
    }
}

impl System {
    /// Puts programs and all that they reach on one machine. `config` says what it is like, but for processors and byte
    /// order, which are the system's.
    ///
    /// # Errors
    /// What does not fit one address space.
    pub fn assemble(&self, programs: &[u32], config: EngineConfig) -> Result<Assembly, Diagnostic> {
        let (programs, maps) = self.reached(programs);
        let specs: Vec<_> = maps.iter().filter_map(|id| self.maps.get(*id)).map(|map| map.spec.clone()).collect();
        let config = EngineConfig { cpus: self.config.cpus, byte_order: self.config.byte_order, ..config };
        let mut engine = Engine::new(config, &specs)?;
        let place = |id: u32| maps.iter().position(|map| *map == id).unwrap_or(0) as u32;
        let (mut codes, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for id in programs {
            let Some(object) = self.progs.get(id) else { continue };
            let named: Vec<MapId> = object.maps.iter().map(|id| MapId(place(*id))).collect();
            let code = Arc::new(Code::bound(object.verified.xlated(), &named)?);
            numbers.insert(id, engine.add_program(code.clone()));
            codes.insert(id, code);
        }
        for (at, id) in maps.iter().enumerate() {
            let (Some(object), Some(memory)) = (self.maps.get(*id), engine.map_memory_mut(MapId(at as u32))) else {
                continue;
            };
            let len = memory.len().min(object.memory.len());
            memory[..len].copy_from_slice(&object.memory[..len]);
            renumber(object, memory, place, &numbers);
        }
        Ok(Assembly { engine, codes, maps })
    }

    /// Takes what runs left in maps back into the system; maps that are gone by now are passed over.
    pub fn absorb(&mut self, assembly: &Assembly) {
        for (at, id) in assembly.maps.iter().enumerate() {
            let Some(object) = self.maps.get_mut(*id) else { continue };
            let Some(region) = assembly.engine.map_region(MapId(at as u32)) else { continue };
            // No program changes what slots refer to.
            let values = matches!(object.map.kind().holds, Holds::Values);
            let memory = assembly.engine.arena().bytes_of(region);
            if values && memory.len() == object.memory.len() {
                object.memory.copy_from_slice(memory);
            }
        }
    }

    /// Programs and maps that programs reach, each in the order in which it is.
    fn reached(&self, first: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (mut programs, mut maps): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut open: Vec<Object> = first.iter().rev().map(|id| Object::Prog(*id)).collect();
        while let Some(object) = open.pop() {
            match object {
                Object::Prog(id) if !programs.contains(&id) => {
                    programs.push(id);
                    let named = self.progs.get(id).map_or(&[][..], |program| &program.maps);
                    open.extend(named.iter().rev().map(|map| Object::Map(*map)));
                }
                Object::Map(id) if !maps.contains(&id) => {
                    maps.push(id);
                    if let Some(map) = self.maps.get(id)
                        && matches!(map.map.kind().holds, Holds::Programs | Holds::Maps)
                    {
                        open.extend(held(map, &mut map.memory.clone()).into_iter().rev());
                    }
                }
                _ => {}
            }
        }
        (programs, maps)
    }
}

/// Gives the slots of a map the numbers that objects have in an engine.
fn renumber(object: &MapObject, memory: &mut [u8], map: impl Fn(u32) -> u32, programs: &BTreeMap<u32, ProgId>) {
    let holds = object.map.kind().holds;
    if matches!(holds, Holds::Values | Holds::Sockets | Holds::Events | Holds::Cgroups) {
        return;
    }
    for key in keys(object, memory) {
        let found = object.map.lookup(&mut Linear(memory), &mut AccessLog::new(), 0, &key);
        let Some(off) = found.map(|off| off as usize) else { continue };
        // What runs behind a redirect does not run on this machine.
        let at = if matches!(holds, Holds::Devices | Holds::Cpus) { off + 4 } else { off };
        let Some(word) = memory.get_mut(at..at + 4) else { continue };
        let was = object.map.byte_order().word([word[0], word[1], word[2], word[3]]);
        let number = match holds {
            _ if was == 0 => 0,
            Holds::Maps => MapId(map(was)).reference(),
            Holds::Programs => programs.get(&was).map_or(0, |id| id.reference()),
            _ => 0,
        };
        word.copy_from_slice(&object.map.byte_order().bytes(number));
    }
}
