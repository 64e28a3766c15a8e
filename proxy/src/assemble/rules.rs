//! Rules and formats, compiled with the files they name. Their mistakes were found while loading; what is
//! left for here is what needs the file system.

use std::io::Read;

use proxy_config::compile::{CompiledProxy, Compiler};
use proxy_config::model::{Config, Proxy};
use proxy_rules::logformat::LogFormat;
use proxy_rules::sample::Place;
use proxy_rules::sample::parse::{Loader, ParseCx};
use proxy_rules::vars::VarNames;
use proxy_types::{Diagnostics, Mode};

/// Largest file a rule may name, in bytes.
const FILE_MAX: u64 = 256 << 20;

/// Reads the files that rules name.
struct Files;

impl Loader for Files {
    fn load(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        let file = std::fs::File::open(name).map_err(|error| error.to_string())?;
        let length = file.take(FILE_MAX + 1).read_to_end(&mut content);
        match length.map_err(|error| error.to_string())? {
            length if length as u64 > FILE_MAX => {
                Err(format!("it is larger than {FILE_MAX} bytes"))
            }
            _ => Ok(content),
        }
    }
}

/// Compiles a section with the variable names of the whole configuration.
pub(super) fn compile(
    config: &Config,
    proxy: &Proxy,
    vars: &VarNames,
    diagnostics: &mut Diagnostics,
) -> CompiledProxy {
    let mut compiler = Compiler {
        vars,
        loader: &Files,
        diag: diagnostics,
        mode: proxy.settings.mode(),
        refs: Vec::new(),
    };
    compiler.proxy(config, proxy)
}

/// The line of a proxy that logs without a format (configuration manual, 8.2.1).
pub(super) fn connect_format(
    mode: Mode,
    vars: &VarNames,
    diagnostics: &mut Diagnostics,
) -> Option<LogFormat> {
    let text = match mode {
        Mode::Http => "Connect from %ci:%cp to %fi:%fp (%f/HTTP)",
        Mode::Tcp => "Connect from %ci:%cp to %fi:%fp (%f/TCP)",
    };
    let mut refs = Vec::new();
    let mut cx = ParseCx {
        place: Place::Log,
        mode,
        vars,
        loader: &Files,
        diag: diagnostics,
        refs: &mut refs,
    };
    LogFormat::builtin(text, &mut cx).ok()
}
