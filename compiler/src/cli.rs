//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::command::{
    build, check, completions, dev, diff, eval, explain, import, init, inspect, keygen, log, lsp,
    man, matrix, pull, push, rebuild, release, replay, schema, show, sign, suggest, test, trust,
    verify, what_can, who_can,
};

/// Compiles access policy for agent tools: checks it, tests it, and builds signed bundles.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, max_term_width = 100)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "For every command")]
pub struct Global {
    /// The folder of the policy project; other paths stay relative to the current folder
    #[arg(short = 'C', value_name = "DIR", default_value = ".", global = true)]
    pub directory: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Human, global = true)]
    pub format: Format,
    /// Whether to colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; `table` is the same
    #[value(alias = "table")]
    Human,
    /// One JSON value
    Json,
    /// `JUnit` XML, of `test` and `check`
    Junit,
    /// Markdown, of `diff`
    Markdown,
    /// One page of HTML, of `diff`, `who-can` and `what-can`
    Html,
    /// SARIF 2.1.0, of `check` and `diff`
    Sarif,
    /// Workflow commands of GitHub Actions, of `check`
    Github,
    /// LCOV, of `test --coverage`
    Lcov,
    /// Comma-separated values, of `who-can` and `what-can`
    Csv,
}

impl Format {
    /// The spelling after `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Sarif => "sarif",
            Self::Github => "github",
            Self::Lcov => "lcov",
            Self::Csv => "csv",
        }
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` says otherwise
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a small project that checks, tests and builds at once
    Init(init::Args),
    /// Write server entries and locks from what is there already
    Import(import::Args),
    /// Say everything that is wrong with a policy project
    Check(check::Args),
    /// Decide every cell of the golden matrices on the compiled bundle
    Test(test::Args),
    /// Write matrices from what the policy does
    Matrix(matrix::Args),
    /// Enforce the project on this machine as it is saved, with tokens to try it
    Dev(dev::Args),
    /// Compile a policy project into bundles, with a statement and signatures
    Build(build::Args),
    /// Decide calls, one JSON object on each line, on built bundles
    Eval(eval::Args),
    /// Say exactly what access changes between two projects, revisions or bundles
    Diff(diff::Args),
    /// Say who may call a surface: each class of callers, when, and through what
    WhoCan(who_can::Args),
    /// Say what a caller may do: each surface, when, and through what
    WhatCan(what_can::Args),
    /// Say what a policy would have made of recorded traffic, from audit logs
    Replay(replay::Args),
    /// Suggest what to take away: grants that nobody used, as a patch with its matrix cells
    Suggest(suggest::Args),
    /// Say what a code means, or why a call is allowed or denied
    Explain(explain::Args),
    /// Show the project with everything expanded
    Show(show::Args),
    /// Make a signing key, its public half, and a trust file that names it
    Keygen(keygen::Args),
    /// Write, show or change the trust file: who may release what
    Trust(trust::Args),
    /// Add signatures to a release, a pointer or a trust root
    Sign(sign::Args),
    /// Say anew that a release is the newest, and what is denied at once: the freshness pointer
    Release(release::Args),
    /// Make every check that a sidecar makes on a release, and say what came of each
    Verify(verify::Args),
    /// Say what bundles hold
    Inspect(inspect::Args),
    /// Build a release again from its commit, and say whether the bytes are the same
    Rebuild(rebuild::Args),
    /// Walk from a release to those before it
    Log(log::Args),
    /// Publish a release where sidecars fetch it
    Push(push::Args),
    /// Fetch a release into a folder
    Pull(pull::Args),
    /// Print or write the JSON Schemas of what is read and written
    Schema(schema::Args),
    /// Serve editors over stdio: findings as you type, fixes, names and what they mean
    Lsp(lsp::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Write the manual pages, one for each command
    Man(man::Args),
}
