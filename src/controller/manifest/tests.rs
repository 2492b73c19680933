//! What a file with a mistake makes people read, word for word.

use super::*;

const HEAD: &str = "apiVersion: ringhold.dev/v1alpha1\nkind: LoadBalancer\nmetadata: {name: web}\n";
const TEMPLATE: &str = "  template: {spec: {containers: [{name: server}]}}\n";

fn error(text: &str) -> String {
    parse(Path::new("web.yaml"), text).unwrap_err().to_string()
}

/// What is said of a manifest whose spec holds these lines and a sound template.
fn spec_error(lines: &str) -> String {
    let message = error(&format!("{HEAD}spec:\n  {lines}\n{TEMPLATE}"));
    message.strip_prefix("web.yaml: ").unwrap().to_owned()
}

#[test]
fn what_is_no_yaml_is_said_with_line_and_column() {
    let cases = [
        ("a: [1, 2", "web.yaml: not YAML: line 1 column 4: unclosed bracket '['"),
        ("a: b: c\n", "web.yaml: not YAML: line 1 column 5: mapping values are not allowed in this context"),
        ("a: 1\na: 2\n", "web.yaml: not YAML: line 2 column 1: duplicate mapping key: a; leave one"),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn what_is_no_load_balancer_is_said_with_the_way_out() {
    let begin = "no LoadBalancer: begin it with `apiVersion: ringhold.dev/v1alpha1` and `kind: LoadBalancer`";
    let cases = [
        ("just text", begin),
        ("[1, 2]", begin),
        ("kind: LoadBalancer", "apiVersion: missing: use ringhold.dev/v1alpha1"),
        ("{apiVersion: v1, kind: Pod}", "apiVersion: v1: use ringhold.dev/v1alpha1"),
        ("{apiVersion: ringhold.dev/v1, kind: LoadBalancer}", "apiVersion: ringhold.dev/v1: use ringhold.dev/v1alpha1"),
        ("{apiVersion: ringhold.dev/v1alpha1}", "kind: missing: use LoadBalancer"),
        ("{apiVersion: ringhold.dev/v1alpha1, kind: Loadbalancer}", "kind: Loadbalancer: use LoadBalancer"),
        ("{apiVersion: ringhold.dev/v1alpha1, kind: 5}", "kind: 5: use LoadBalancer"),
        ("{apiVersion: ringhold.dev/v1alpha1, kind: {a: b}}", "kind: a group of fields: use LoadBalancer"),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), format!("web.yaml: {message}"), "{text}");
    }
}

#[test]
fn unknown_fields_are_wrong_wherever_they_stand() {
    let cases = [
        ("rolout: {}", "spec.rolout"),
        ("listener: {prot: 5000}", "spec.listener.prot"),
        ("service: {prot: 80}", "spec.service.prot"),
        ("hashKey: [{sourceIp: {}}, {header: {name: a, nmae: b}}]", "spec.hashKey[1].header.nmae"),
    ];
    let advice = "no such field; check its spelling and place, or remove it";
    for (lines, path) in cases {
        assert_eq!(spec_error(lines), format!("{path}: {advice}"));
    }
    let containers = "[{name: a}, {name: b, comand: [x], livenessProbe: {httpGet: {port: 80, pth: /}}}]";
    assert_eq!(
        error(&format!("{HEAD}spec: {{template: {{metadata: {{labls: {{}}}}, spec: {{containers: {containers}}}}}}}")),
        format!(
            "web.yaml: spec.template.metadata.labls: {advice}; spec.template.spec.containers[1].comand: {advice}; \
             spec.template.spec.containers[1].livenessProbe.httpGet.pth: {advice}"
        )
    );
    assert_eq!(
        error(&HEAD.replace("name: web}", "nam: web}\nspec:\n").replace("spec:\n", &format!("spec:\n{TEMPLATE}"))),
        format!("web.yaml: metadata.nam: {advice}")
    );
    assert_eq!(
        error(&format!("{HEAD}sepc:\n{TEMPLATE}")),
        format!("web.yaml: sepc: {advice}; spec: missing: add it"),
        "the misspelt field comes first: it is why the other is missing"
    );
}

#[test]
fn missing_fields_are_named_with_their_path() {
    assert_eq!(error(HEAD), "web.yaml: spec: missing: add it");
    assert_eq!(error(&format!("{HEAD}spec: {{}}")), "web.yaml: spec.template: missing: add it");
    assert_eq!(spec_error("boundedLoad: {}"), "spec.boundedLoad.factor: missing: add it");
    assert_eq!(spec_error("hashKey: [{cookie: {}}]"), "spec.hashKey[0].cookie.name: missing: add it");
    let without_metadata = HEAD.replace("metadata: {name: web}\n", "");
    assert_eq!(error(&format!("{without_metadata}spec:\n{TEMPLATE}")), "web.yaml: metadata: missing: add it");
}

#[test]
fn wrong_types_are_said_with_path_value_and_the_way_out() {
    let fields = "use fields, indented below it; for the defaults remove it";
    let one_source = "use exactly one source: header, cookie, query, path, sourceIp or random";
    let cases = [
        ("replicas: many", "spec.replicas: \"many\": use a whole number, without quotes"),
        ("replicas: \"3\"", "spec.replicas: \"3\": use a whole number, without quotes"),
        ("replicas: 1.5", "spec.replicas: 1.5: use a whole number"),
        ("replicas:", "spec.replicas: empty: use a whole number"),
        ("replicas: [1]", "spec.replicas: a list: use a whole number"),
        ("replicas: 99999999999", "spec.replicas: 99999999999: use a smaller whole number"),
        ("listener: {hostnames: a.example}", "spec.listener.hostnames: \"a.example\": use a list, such as [a, b]"),
        ("listener: {hostnames: [1]}", "spec.listener.hostnames[0]: 1: use text: put it in quotes"),
        ("listener: 5000", &format!("spec.listener: 5000: {fields}")),
        ("ring:", &format!("spec.ring: empty: {fields}")),
        ("ring: {algorithm: Jump}", "spec.ring.algorithm: Jump: use one of Rendezvous, Ketama, Maglev, Polynomial"),
        ("ring: {algorithm: 5}", "spec.ring.algorithm: 5: use text: put it in quotes"),
        ("boundedLoad: {factor: lots}", "spec.boundedLoad.factor: \"lots\": use a number"),
        ("rollout: {maxSurge: true}", "spec.rollout.maxSurge: true: use a whole number, or text"),
        ("hashKey: {sourceIp: {}}", "spec.hashKey: a group of fields: use a list, such as [a, b]"),
        ("hashKey: [{}]", &format!("spec.hashKey[0]: a group of fields: {one_source}")),
        ("hashKey: [{header: {name: a}, random: {}}]", &format!("spec.hashKey[0]: a group of fields: {one_source}")),
        (
            "hashKey: [{heder: {name: a}}]",
            "spec.hashKey[0]: heder: use one of header, cookie, query, path, sourceIp, random",
        ),
        ("hashKey: [sourceIp]", "spec.hashKey[0].sourceIp: \"sourceIp\": write {} behind it, or its fields"),
        ("hashKey: [{header: {name: 5}}]", "spec.hashKey[0].header.name: 5: use text: put it in quotes"),
    ];
    for (lines, message) in cases {
        assert_eq!(spec_error(lines), message);
    }
    assert_eq!(error(&format!("{HEAD}spec:\n")), format!("web.yaml: spec: empty: {fields}"));
}

#[test]
fn wrong_types_in_the_template_are_said_in_the_same_way() {
    let cases = [
        ("command: x", "command: \"x\": use a list, such as [a, b]"),
        ("env: [{name: X, value: 1}]", "env[0].value: 1: use text: put it in quotes"),
        ("ports: [{containerPort: eighty}]", "ports[0].containerPort: \"eighty\": use a whole number, without quotes"),
        ("tty: 1", "tty: 1: use true or false"),
        ("livenessProbe: 5", "livenessProbe: 5: use fields, indented below it; for the defaults remove it"),
        ("resources: {limits: {cpu: [1]}}", "resources.limits.cpu: a list: use a quantity such as 500m or 1Gi"),
    ];
    for (field, message) in cases {
        let text = format!("{HEAD}spec: {{template: {{spec: {{containers: [{{name: a, {field}}}]}}}}}}");
        assert_eq!(error(&text), format!("web.yaml: spec.template.spec.containers[0].{message}"));
    }
    let fields = "use fields, indented below it; for the defaults remove it";
    for (template, message) in [("5", format!("5: {fields}")), ("", format!("empty: {fields}"))] {
        let text = format!("{HEAD}spec:\n  template: {template}\n");
        assert_eq!(error(&text), format!("web.yaml: spec.template: {message}"));
    }
}

#[test]
fn several_documents_are_several_load_balancers_and_mistakes_name_theirs() {
    let good = format!("{HEAD}spec:\n{TEMPLATE}");
    let other = good.replace("name: web", "name: other");
    let both = parse(Path::new("web.yaml"), &format!("{good}---\n{other}---\n# nothing here\n")).unwrap();
    let names: Vec<_> = both.iter().map(|resource| resource.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["web", "other"]);
    assert_eq!(
        error(&format!("{good}---\nkind: Pod\n")),
        "web.yaml: document 2: apiVersion: missing: use ringhold.dev/v1alpha1"
    );
}

#[test]
fn a_text_without_content_declares_nothing() {
    for text in ["", "\n", "# a comment\n", "---\n---\n"] {
        assert_eq!(parse(Path::new("web.yaml"), text), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    assert_eq!(
        read(Path::new("/nowhere/web.yaml")).unwrap_err().to_string(),
        "/nowhere/web.yaml: can't be read: No such file or directory (os error 2)"
    );
}
