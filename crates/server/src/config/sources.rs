use super::error::{ConfigError, Problem};
use super::setting::{Setting, Variable};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tandem_model::Secret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a configuration is read from; the environment wins over the file. Not printed: passwords and keys are in it.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    environment: Vec<(OsString, OsString)>,
    file: Option<ConfigFile>,
}

#[derive(Clone)]
struct ConfigFile {
    path: PathBuf,
    text: Secret,
}

/// Where a value, or a problem, comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody has set it.
    Default,
    /// An environment variable.
    Variable(String),
    /// A file as a whole.
    File(PathBuf),
    /// A key in a file.
    Key {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The key as written.
        key: String,
    },
}

/// One setting as somebody wrote it; a list in the file is joined by commas, as in the environment.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: Secret,
    pub(super) origin: Origin,
}

/// What is set, by whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<Setting, Given>,
    /// What is set to something that is no value at all.
    unreadable: BTreeMap<Setting, Origin>,
}

impl Sources {
    /// The process's environment, and the file that `--config` or `TANDEM_CONFIG` names, else `./tandem.toml` if it is there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn of_process(named: Option<&Path>) -> Result<Self, ConfigError> {
        let file = match named {
            Some(path) => Some(read(path)?),
            None if Path::new(DEFAULT_FILE).exists() => Some(read(Path::new(DEFAULT_FILE))?),
            None => None,
        };
        Ok(Self { environment: std::env::vars_os().collect(), file })
    }

    /// These variables and this text of a `tandem.toml`.
    #[cfg(test)]
    pub(super) fn of_text(environment: &[(&str, &str)], file: Option<&str>) -> Self {
        Self {
            environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            file: file.map(|text| ConfigFile { path: DEFAULT_FILE.into(), text: Secret::new(text) }),
        }
    }

    /// Who has set this.
    pub(crate) fn origin(&self, setting: Setting) -> Origin {
        let (settings, _) = Settings::read(self);
        let given = || settings.given(setting).map(|given| &given.origin);
        settings.unreadable.get(&setting).or_else(given).cloned().unwrap_or(Origin::Default)
    }

    /// The file that is read, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
    match read_bounded(path) {
        Ok(text) => Ok(ConfigFile { path: path.to_owned(), text: Secret::new(text) }),
        Err(error) => {
            let problem = Problem::new(Origin::File(path.to_owned()), format!("cannot be read: {error}"));
            Err(ConfigError::unless_none(vec![problem]).expect_err("there is one problem"))
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes; is it the right file?")));
    }
    Ok(text)
}

impl Settings {
    /// What the sources set, and what in them is no setting.
    pub(super) fn read(sources: &Sources) -> (Self, Vec<Problem>) {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        if let Some(file) = &sources.file {
            settings.read_file(file, &mut problems);
        }
        settings.read_environment(&sources.environment, &mut problems);
        (settings, problems)
    }

    pub(super) fn given(&self, setting: Setting) -> Option<&Given> {
        self.given.get(&setting)
    }

    /// Notes a value that cannot be read.
    pub(super) fn mark_unreadable(&mut self, setting: Setting, origin: Origin) {
        self.unreadable.insert(setting, origin);
    }

    /// Whether a value was set and cannot be read.
    pub(super) fn is_unreadable(&self, setting: Setting) -> bool {
        self.unreadable.contains_key(&setting)
    }

    fn read_file(&mut self, file: &ConfigFile, problems: &mut Vec<Problem>) {
        let text = file.text.expose();
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let message = format!("line {line} is no TOML: {}", error.message().replace('\n', "; "));
                problems.push(Problem::new(Origin::File(file.path.clone()), message));
                return;
            }
        };
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let line = line_of(text, key.span().start);
            let origin = Origin::Key { path: file.path.clone(), line, key: name.to_owned() };
            let setting = match Setting::of_key(name) {
                Ok(setting) => setting,
                Err(nearest) => {
                    problems.push(Problem::new(origin, format!("unknown key; did you mean {nearest}?")));
                    continue;
                }
            };
            match text_of(value) {
                Some(text) => drop(self.given.insert(setting, Given { text: Secret::new(text), origin })),
                None => {
                    self.mark_unreadable(setting, origin.clone());
                    problems.push(Problem::new(origin, "must be a string, a whole number or a list of strings"));
                }
            }
        }
    }

    /// An empty variable counts as not set: that is how service managers and compose files leave one out.
    fn read_environment(&mut self, environment: &[(OsString, OsString)], problems: &mut Vec<Problem>) {
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let origin = Origin::Variable(name.to_owned());
            match (Setting::of_variable(name, &value.to_string_lossy()), value.to_str()) {
                (Variable::Other, _) => {}
                (Variable::Unknown { nearest }, _) => {
                    problems.push(Problem::new(origin, format!("unknown variable; did you mean {nearest}?")));
                }
                (Variable::Setting(setting), None) => {
                    self.mark_unreadable(setting, origin.clone());
                    problems.push(Problem::new(origin, "is not UTF-8"));
                }
                (Variable::Setting(_), Some(text)) if text.trim().is_empty() => {}
                (Variable::Setting(setting), Some(text)) => {
                    self.unreadable.remove(&setting);
                    self.given.insert(setting, Given { text: Secret::new(text), origin });
                }
            }
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file()).finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Key { path, line, key } => write!(f, "{}:{line}: {key}", path.display()),
        }
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            None
        }
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|&byte| byte == b'\n').count() + 1
}

const DEFAULT_FILE: &str = "tandem.toml";
/// Far above any configuration; a wrong path must not fill the memory.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_sources_nor_settings_show_what_is_set() {
        let sources = Sources::of_text(
            &[("TANDEM_ADMIN_API_KEY", "tdm_hunter2hunter2"), ("DATABASE_URL", "postgresql://tandem:hunter2@db/calls")],
            Some("admin_api_key = \"tdm_hunter2hunter2\"\n"),
        );
        let (settings, problems) = Settings::read(&sources);
        let shown = format!("{sources:?} {settings:?} {problems:?}");
        assert!(shown.contains("TANDEM_ADMIN_API_KEY") && !shown.contains("hunter2"), "{shown}");
    }
}
