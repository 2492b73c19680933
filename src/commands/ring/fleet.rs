//! Whose ring it is: a fleet from a manifest or from flags, the ring that follows from it, and the fleet that a change
//! makes of it. What the resource refuses is refused here by the same rules, under the flags' names.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use crate::api::{KeyHashFunction, LoadBalancer, RingAlgorithm, RingMember, RingSection};
use crate::args::{Algorithm, AlgorithmArgs, ChangeArgs, FleetArgs, MemberWeight};
use crate::controller::{self, CheckedRing, FieldErrors, manifest, validate};
use crate::model::Ordinal;
use crate::ring::{KeyHash, Member, Ring};

/// Everything that a ring follows from.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    section: RingSection,
    ordinals: BTreeSet<u16>,
}

/// The ring of a fleet.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) ring: Ring,
    pub(super) key_hash: KeyHash,
}

/// What the fields of the resource are called on the command line.
type Flags = &'static [(&'static str, &'static str)];

const FLEET: Flags = &[
    ("spec.ring.algorithm", "--algorithm"),
    ("spec.ring.slots", "--slots"),
    ("spec.ring.points", "--points"),
    ("spec.replicas", "--members"),
];

const CHANGE: Flags = &[
    ("spec.ring.algorithm", "--to-algorithm"),
    ("spec.ring.slots", "--to-slots"),
    ("spec.ring.points", "--to-points"),
    ("spec.replicas", "--to"),
];

// === impl Fleet ===

impl Fleet {
    /// The fleet of a manifest, or of the flags where there is none; `weight` is what the flag of the weights is called.
    pub(super) fn new(
        args: &FleetArgs,
        ring: &AlgorithmArgs,
        weights: &[MemberWeight],
        weight: &str,
    ) -> anyhow::Result<Self> {
        if let Some(file) = &args.file {
            return Self::of_manifest(file, args.name.as_deref());
        }
        let section = RingSection {
            algorithm: ring.algorithm.into(),
            slots: ring.size.slots,
            points: ring.size.points,
            ..RingSection::default()
        };
        let mut fleet = Self { section, ordinals: (0..args.members).collect() };
        fleet.weigh(weights, weight)?;
        Ok(fleet)
    }

    fn of_manifest(file: &Path, name: Option<&str>) -> anyhow::Result<Self> {
        let (file, resources) = if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("--file: -: can't be read")?;
            let file = Path::new("standard input");
            (file, manifest::parse(file, &text)?)
        } else {
            (file, manifest::read(file)?)
        };
        let resource = chosen(resources, file, name)?;
        let id = manifest::identity(&resource);
        let desired = validate(&resource).map_err(|errors| anyhow!("{}: {id}: {errors}", file.display()))?;
        if desired.replicas == 0 {
            bail!("{}: {id}: spec.replicas: 0: a ring without members shows nothing; use 1 or more", file.display());
        }
        Ok(Self { section: resource.spec.ring, ordinals: (0..desired.replicas).collect() })
    }

    /// Its ring.
    pub(super) fn build(&self) -> anyhow::Result<Built> {
        self.build_as(FLEET)
    }

    fn build_as(&self, flags: Flags) -> anyhow::Result<Built> {
        let CheckedRing { ring, key_hash, weights } =
            controller::ring(&self.section, self.count()).map_err(|errors| in_flags(errors, flags))?;
        let members = self.ordinals.iter().map(|ordinal| {
            let weight = weights.get(&Ordinal(*ordinal)).copied().unwrap_or(1);
            Member { id: *ordinal, weight }
        });
        let ring = Ring::build(ring, &members.collect::<Vec<Member>>())?;
        Ok(Built { ring, key_hash })
    }

    /// The ring that the change makes of it.
    pub(super) fn build_changed(&self, change: &ChangeArgs) -> anyhow::Result<Built> {
        let ChangeArgs { to, remove, to_weights, to_algorithm, to_slots, to_points } = change;
        let mut fleet = self.clone();
        if let Some(to) = to {
            fleet.resize(*to);
        }
        for ordinal in remove {
            if !fleet.ordinals.remove(ordinal) {
                bail!("--remove: {ordinal}: no member, or named twice; {}", fleet.range());
            }
            fleet.section.members.retain(|member| member.ordinal != i32::from(*ordinal));
        }
        if fleet.ordinals.is_empty() {
            bail!("--remove: leaves no member; keep one");
        }
        fleet.weigh(to_weights, "--weight")?;
        if let Some(algorithm) = to_algorithm {
            fleet.turn_into((*algorithm).into());
        }
        fleet.section.slots = to_slots.or(fleet.section.slots);
        fleet.section.points = to_points.or(fleet.section.points);
        fleet.build_as(CHANGE)
    }

    /// With so many ordinals, from 0 on.
    pub(super) fn resize(&mut self, count: u16) {
        self.ordinals = (0..count).collect();
        self.section.members.retain(|member| member.ordinal < i32::from(count));
    }

    /// Takes another algorithm, and of what belonged to the old one what fits the new one: no sizes, which would mean
    /// something else, and the key hash, unless only Ketama has it.
    pub(super) fn turn_into(&mut self, algorithm: RingAlgorithm) {
        if self.section.algorithm == algorithm {
            return;
        }
        let old = std::mem::take(&mut self.section);
        let key_hash = old.key_hash.filter(|function| *function != KeyHashFunction::Crc32);
        let members = old.members.into_iter().map(|member| RingMember { name: None, ..member }).collect();
        self.section = RingSection { algorithm, key_hash, members, ..RingSection::default() };
    }

    /// Sizes that only some algorithms have.
    pub(super) fn size(&mut self, slots: Option<i32>, points: Option<i32>) {
        let algorithm = self.section.algorithm;
        if matches!(algorithm, RingAlgorithm::Rendezvous | RingAlgorithm::Maglev) {
            self.section.slots = slots.or(self.section.slots);
        }
        if algorithm == RingAlgorithm::Ketama {
            self.section.points = points.or(self.section.points);
        }
    }

    /// How many members it has.
    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.ordinals.len()).unwrap_or(u16::MAX)
    }

    fn weigh(&mut self, weights: &[MemberWeight], flag: &str) -> anyhow::Result<()> {
        let mut known = BTreeSet::new();
        for weight in weights {
            let MemberWeight { ordinal, weight: value } = *weight;
            if !self.ordinals.contains(&ordinal) {
                bail!("{flag}: {weight}: no such member; {}", self.range());
            }
            if !known.insert(ordinal) {
                bail!("{flag}: {weight}: member {ordinal} is listed twice; leave one");
            }
            let (ordinal, weight) = (i32::from(ordinal), i32::from(value));
            match self.section.members.iter_mut().find(|member| member.ordinal == ordinal) {
                Some(member) => member.weight = weight,
                None => self.section.members.push(RingMember { ordinal, weight, name: None }),
            }
        }
        Ok(())
    }

    fn range(&self) -> String {
        match (self.ordinals.first(), self.ordinals.last()) {
            (Some(first), Some(last)) => format!("use one of the {} ordinals from {first} to {last}", self.count()),
            _ => "there is none left".to_owned(),
        }
    }
}

/// The LoadBalancer of this name, or the only one.
fn chosen(resources: Vec<LoadBalancer>, file: &Path, name: Option<&str>) -> anyhow::Result<LoadBalancer> {
    let ids: Vec<String> = resources.iter().map(|resource| manifest::identity(resource).to_string()).collect();
    let file = file.display();
    let index = match name {
        _ if ids.is_empty() => bail!("{file}: holds no LoadBalancer; use another file, or --members"),
        Some(name) => ids.iter().position(|id| id == name).ok_or_else(|| {
            anyhow!("--name: {name}: {file} holds no LoadBalancer of this name; use {}", ids.join(" or "))
        })?,
        None if ids.len() > 1 => {
            bail!("{file}: holds {} LoadBalancers; choose one with --name: {}", ids.len(), ids.join(" or "))
        }
        None => 0,
    };
    resources.into_iter().nth(index).context("the LoadBalancer is there")
}

/// The resource's rules in the words of the command line.
fn in_flags(errors: FieldErrors, flags: Flags) -> FieldErrors {
    let translate = |text: String| flags.iter().fold(text, |text, (field, flag)| text.replace(field, flag));
    let translated = errors.0.into_iter().map(|mut error| {
        (error.path, error.rule) = (translate(error.path), translate(error.rule));
        error
    });
    FieldErrors(translated.collect())
}

// === impl Algorithm ===

impl From<Algorithm> for RingAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rendezvous => Self::Rendezvous,
            Algorithm::Ketama => Self::Ketama,
            Algorithm::Maglev => Self::Maglev,
            Algorithm::Polynomial => Self::Polynomial,
        }
    }
}
