//! The image that `deploy/image/layout.py` writes, held against the OCI image specification, and the list of what is linked
//! into a binary (`deploy/image/sbom.py`), held against the schema of `CycloneDX`. The binaries here are stand-ins of a few bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::ran::command;
use crate::tools::{ROOT, output, python};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The commit's time that the images here are given.
const CREATED: &str = "1700000000";
const CREATED_TEXT: &str = "2023-11-14T22:13:20Z";

/// A directory with two stand-ins for the binary, and what was made of them.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("amd64"), "a program for one machine").unwrap();
        fs::write(place.path("arm64"), "a program for another").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `layout.py` of the stand-ins into the directory `name`.
    fn layout(&self, name: &str, options: &[&str]) -> Output {
        let mut program = command(Path::new(ROOT).join("deploy/image/layout.py"));
        for architecture in ["arm64", "amd64"] {
            program.arg(format!("--binary={architecture}={}", self.path(architecture).display()));
        }
        program.args(["--version=0.1.0", "--created", CREATED, "--licenses=Apache-2.0", "--revision=abc"]);
        program.arg("--output").arg(self.path(name)).args(options).output().unwrap()
    }

    /// The same, which has to succeed.
    fn image(&self, name: &str, options: &[&str]) -> Layout {
        let output = self.layout(name, options);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Layout(self.path(name))
    }
}

/// A directory by image-layout.md.
struct Layout(PathBuf);

impl Layout {
    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(path)).unwrap()).unwrap()
    }

    /// What a descriptor describes, which has to be of this type, size and digest.
    fn blob(&self, descriptor: &Value, media_type: &str) -> Vec<u8> {
        assert_eq!(descriptor["mediaType"], media_type);
        let digest = descriptor["digest"].as_str().unwrap();
        let content = fs::read(self.0.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())).unwrap();
        assert_eq!(descriptor["size"], content.len());
        assert_eq!(digest, digest_of(&content));
        content
    }

    fn object(&self, descriptor: &Value, media_type: &str) -> Value {
        serde_json::from_slice(&self.blob(descriptor, media_type)).unwrap()
    }

    /// The descriptor that the layout begins with: of the one image in it.
    fn top(&self) -> Value {
        assert_eq!(self.json("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
        let index = self.json("index.json");
        assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(INDEX)));
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        index["manifests"][0].clone()
    }

    /// The image of each platform: its platform, configuration, manifest and unpacked layer.
    fn images(&self) -> Vec<(Value, Value, Value, Vec<u8>)> {
        let index = self.object(&self.top(), INDEX);
        let images = index["manifests"].as_array().unwrap().iter().map(|descriptor| {
            let manifest = self.object(descriptor, MANIFEST);
            assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &json!(MANIFEST)));
            let config = self.object(&manifest["config"], CONFIG);
            let layers = manifest["layers"].as_array().unwrap();
            assert_eq!(layers.len(), 1);
            let layer = gunzip(&self.blob(&layers[0], LAYER));
            assert_eq!(config["rootfs"], json!({"type": "layers", "diff_ids": [digest_of(&layer)]}));
            (descriptor["platform"].clone(), config, manifest, layer)
        });
        images.collect()
    }

    /// Each file with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![self.0.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.insert(path.strip_prefix(&self.0).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }
}

fn digest_of(content: &[u8]) -> String {
    let hexadecimal: Vec<String> = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hexadecimal.concat())
}

/// By the program, which is not what packed it.
fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut child = command("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(packed).unwrap();
    let mut content = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut content).unwrap();
    assert!(child.wait().unwrap().success());
    content
}

/// What tar lists of an archive: mode, owner, size, time and name of each file.
fn listing(archive: &Path) -> String {
    let mut program = command("tar");
    program.env("TZ", "UTC").args(["--full-time", "--numeric-owner", "-tvf"]).arg(archive);
    output(program)
}

#[test]
fn an_image_is_an_index_of_both_machines_with_one_layer_and_one_file_each() {
    let place = Place::new();
    let layout = place.image("image", &["--source=https://example.org/agent"]);
    let labels = json!({
        "org.opencontainers.image.created": CREATED_TEXT,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.revision": "abc",
        "org.opencontainers.image.source": "https://example.org/agent",
        "org.opencontainers.image.title": "ip-masq-agent",
        "org.opencontainers.image.version": "0.1.0",
    });
    let images = layout.images();
    let platforms: Vec<&Value> = images.iter().map(|(platform, ..)| platform).collect();
    let amd64 = json!({"os": "linux", "architecture": "amd64"});
    let arm64 = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    assert_eq!(platforms, [&amd64, &arm64]);
    for (platform, config, manifest, layer) in images {
        for key in ["os", "architecture", "variant"] {
            assert_eq!(config[key], platform[key]);
        }
        assert_eq!(config["created"], CREATED_TEXT);
        let started = json!({"Entrypoint": ["/ip-masq-agent"], "User": "0:0", "WorkingDir": "/", "Labels": labels});
        assert_eq!(config["config"], started);
        assert_eq!(manifest["annotations"], labels);
        let unpacked = place.path("layer.tar");
        fs::write(&unpacked, layer).unwrap();
        let stand_in = fs::read(place.path(platform["architecture"].as_str().unwrap())).unwrap();
        let size = stand_in.len();
        let fields: Vec<String> = listing(&unpacked).split_whitespace().map(str::to_owned).collect();
        assert_eq!(fields, ["-rwxr-xr-x", "0/0", &size.to_string(), "2023-11-14", "22:13:20", "ip-masq-agent"]);
        let mut extract = command("tar");
        extract.arg("-xOf").arg(&unpacked).arg("ip-masq-agent");
        assert_eq!(output(extract).as_bytes(), stand_in);
    }
}

#[test]
fn importers_find_the_name_that_the_manifests_ask_for() {
    let place = Place::new();
    for (options, tag) in [(&[][..], "0.1.0"), (&["--non-root"][..], "0.1.0-nonroot")] {
        let names = &place.image("image", options).top()["annotations"];
        assert_eq!(names["org.opencontainers.image.ref.name"], tag);
        // `image: ip-masq-agent:0.1.0` of a manifest, in full
        assert_eq!(names["io.containerd.image.name"], format!("docker.io/library/ip-masq-agent:{tag}"));
    }
}

#[test]
fn the_same_binaries_give_the_same_digest_and_the_same_archive_twice() {
    let place = Place::new();
    let (first, second) = (place.image("first", &[]), place.image("second", &[]));
    assert_eq!(first.files(), second.files());
    assert_eq!(fs::read(place.path("first.tar")).unwrap(), fs::read(place.path("second.tar")).unwrap());
    let before = first.top()["digest"].clone();
    fs::write(place.path("arm64"), "a program for another!").unwrap();
    assert_ne!(place.image("third", &[]).top()["digest"], before);
}

#[test]
fn the_archive_has_every_file_of_the_directory() {
    let place = Place::new();
    let layout = place.image("image", &[]);
    let unpacked = place.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut extract = command("tar");
    extract.arg("-xf").arg(place.path("image.tar")).arg("-C").arg(&unpacked);
    output(extract);
    assert_eq!(Layout(unpacked).files(), layout.files());
}

/// As the kernel reads it: getcap(8) is of another author than what wrote it.
#[test]
fn the_binary_of_the_other_variant_brings_net_admin_along_and_nothing_else() {
    let place = Place::new();
    for (_, config, _, layer) in place.image("image", &["--non-root"]).images() {
        assert_eq!(config["config"]["User"], "65532:65532");
        let archive = place.path("layer.tar");
        fs::write(&archive, layer).unwrap();
        let mut extract = command("tar");
        extract
            .args(["--xattrs", "--xattrs-include=security.capability", "-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(place.0.path());
        output(extract);
        let mut look = command("/sbin/getcap");
        look.current_dir(place.0.path()).arg("ip-masq-agent");
        assert_eq!(output(look), "ip-masq-agent cap_net_admin=ep\n");
    }
}

#[test]
fn what_cannot_become_an_image_is_refused_with_the_reason() {
    let place = Place::new();
    // what no packer makes smaller: xorshift (Marsaglia)
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(1 << 19).flatten().collect();
    fs::write(place.path("arm64"), noise).unwrap();
    let amd64 = format!("--binary=amd64={}", place.path("amd64").display());
    let cases = [
        (&[][..], "the layer for arm64 has 419"),
        (&["--binary=mips=x"], "--binary mips=x: expected ARCHITECTURE=PATH"),
        (&[&amd64], "each architecture once"),
    ];
    for (options, reason) in cases {
        let output = place.layout("image", options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{options:?}: {said}");
    }
}

/// What `cargo auditable` links into a binary: the root, what it needs, what only its build script needs, and a procedural macro
/// with what only that needs.
fn audited() -> Value {
    json!({"packages": [
        {"name": "builder", "version": "3.0.0", "source": "crates.io", "kind": "build"},
        {"name": "ip-masq-agent", "version": "0.1.0", "source": "local", "dependencies": [0, 2, 3], "root": true},
        {"name": "part", "version": "2.1.0", "source": "crates.io"},
        {"name": "derive", "version": "1.0.0", "source": "crates.io", "dependencies": [4]},
        {"name": "grammar", "version": "1.0.0", "source": "crates.io"},
    ]})
}

impl Place {
    /// A program with a section as `cargo auditable` adds it, put there by tools of binutils and zlib.
    fn program(&self, name: &str, list: &[u8]) -> PathBuf {
        let (packed, program) = (self.path("packed"), self.path(name));
        let pack = "import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))";
        let mut child = command("python3");
        let mut child =
            child.args(["-c", pack]).stdin(Stdio::piped()).stdout(fs::File::create(&packed).unwrap()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(list).unwrap();
        assert!(child.wait().unwrap().success());
        let mut add = command("objcopy");
        add.arg(format!("--add-section=.dep-v0={}", packed.display())).arg("/bin/true").arg(&program);
        output(add);
        program
    }

    fn sbom(&self, binary: &Path) -> Output {
        let package = |name: &str, version: &str, license: &str, kind: &str| {
            let targets = json!([{"kind": [kind]}]);
            json!({"name": name, "version": version, "license": license, "targets": targets})
        };
        let metadata = json!({"packages": [
            package("builder", "3.0.0", "MIT", "lib"),
            package("ip-masq-agent", "0.1.0", "Apache-2.0", "lib"),
            package("part", "2.0.0", "GPL-3.0-only", "lib"),
            package("part", "2.1.0", "MIT OR Apache-2.0", "lib"),
            package("derive", "1.0.0", "MIT", "proc-macro"),
            package("grammar", "1.0.0", "MIT", "lib"),
        ]});
        fs::write(self.path("metadata.json"), metadata.to_string()).unwrap();
        let mut program = command(Path::new(ROOT).join("deploy/image/sbom.py"));
        program.arg("--binary").arg(binary).arg("--metadata").arg(self.path("metadata.json"));
        program.args(["--target=x86_64-unknown-linux-gnu", "--created", CREATED, "--rust=1.95.0", "--libc=2.36"]);
        program.output().unwrap()
    }
}

#[test]
fn what_is_linked_into_the_binary_is_listed_by_cyclonedx_schema_and_what_only_built_it_is_not() {
    let place = Place::new();
    let program = place.program("program", audited().to_string().as_bytes());
    let written = place.sbom(&program);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(written.stdout, place.sbom(&program).stdout);

    let list: Value = serde_json::from_slice(&written.stdout).unwrap();
    let component = |name: &str, version: &str, purl: &str, licence: &str| {
        json!({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl,
            "licenses": [{"expression": licence}]})
    };
    let part = "pkg:cargo/part@2.1.0";
    let (rust, libc) = ("pkg:generic/rust-std@1.95.0", "pkg:generic/glibc@2.36");
    let components = json!([
        component("part", "2.1.0", part, "MIT OR Apache-2.0"),
        component("rust-std", "1.95.0", rust, "MIT OR Apache-2.0"),
        component("glibc", "2.36", libc, "LGPL-2.1-or-later"),
    ]);
    assert_eq!(list["components"], components);
    let product = &list["metadata"]["component"];
    assert_eq!(
        (&product["type"], &product["name"], &product["version"]),
        (&json!("application"), &json!("ip-masq-agent"), &json!("0.1.0"))
    );
    let content = digest_of(&fs::read(&program).unwrap()).replace("sha256:", "");
    assert_eq!(product["hashes"], json!([{"alg": "SHA-256", "content": content}]));
    assert_eq!(list["metadata"]["timestamp"], CREATED_TEXT);
    let needs = |of: &Value, needed: &[&str]| json!({"ref": of, "dependsOn": needed});
    let dependencies = json!([
        needs(&json!(rust), &[libc]),
        needs(&json!(libc), &[]),
        needs(&product["bom-ref"], &[part, rust]),
        needs(&json!(part), &[rust]),
    ]);
    assert_eq!(list["dependencies"], dependencies);

    let file = place.path("list.cdx.json");
    fs::write(&file, &written.stdout).unwrap();
    let judge = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()))";
    let mut command = python();
    command.args(["-c", judge]).arg(&file);
    assert_eq!(output(command), "None\n");
}

#[test]
fn a_binary_that_carries_no_readable_list_gets_none_made_up() {
    let place = Place::new();
    let no_root = json!({"packages": [{"name": "part", "version": "2.1.0", "source": "crates.io"}]}).to_string();
    let cases = [
        (PathBuf::from("/bin/true"), "no section .dep-v0: build it by `make static`"),
        (place.path("amd64"), "no 64-bit little-endian ELF file"),
        (place.path("nowhere"), "No such file"),
        (place.program("cut", b"{"), "cannot be read"),
        (place.program("other", b"[]"), "cannot be read"),
        (place.program("rootless", no_root.as_bytes()), "no package as the root"),
    ];
    for (binary, reason) in cases {
        let output = place.sbom(&binary);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && output.stdout.is_empty() && said.contains(reason),
            "{}: {said}",
            binary.display()
        );
    }
}
