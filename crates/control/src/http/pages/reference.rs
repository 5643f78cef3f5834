use crate::http::openapi;
use crate::http::pages::html::Html;
use crate::http::pages::schema::{schemas, type_of};
use crate::http::pages::{Page, whole};
use serde_json::Value;
use std::sync::LazyLock;

/// The OpenAPI document for people: every operation and every schema on one page, which a browser can search.
///
/// It is made here rather than by one of the programs that run in a browser: those weigh megabytes, want scripts and styles that our
/// policy forbids, and show one operation at a time.
pub(super) async fn read() -> Page {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let document = serde_json::to_value(openapi()).unwrap_or_default();
        whole("Tandem API", &reference(&document)).into_string()
    });
    Page(&PAGE)
}

/// One operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    told: &'a Value,
}

fn reference(document: &Value) -> Html {
    let mut html = Html::default();
    html.raw("<h1>Tandem API</h1>\n<p>").prose(text(document, "/info/description")).raw("</p>\n");
    let operations = operations(document);
    let tags = document["tags"].as_array().map_or(&[][..], Vec::as_slice);
    html.raw("<ul>\n");
    for tag in tags {
        let name = text(tag, "/name");
        html.raw("<li><a href=\"#").text(name).raw("\">").text(name).raw("</a>: ").prose(text(tag, "/description"));
        html.raw("\n<ul>\n");
        for operation in operations.iter().filter(|operation| operation.is_tagged(name)) {
            html.raw("<li><a href=\"#").text(operation.id()).raw("\"><code class=\"method\">");
            html.text(&operation.method.to_uppercase())
                .raw("</code> <code>")
                .text(operation.path)
                .raw("</code></a></li>\n");
        }
        html.raw("</ul></li>\n");
    }
    html.raw("<li><a href=\"#schemas\">schemas</a></li>\n</ul>\n");
    for tag in tags {
        let name = text(tag, "/name");
        html.raw("<h2 id=\"").text(name).raw("\">").text(name).raw("</h2>\n<p>").prose(text(tag, "/description"));
        html.raw("</p>\n");
        for operation in operations.iter().filter(|operation| operation.is_tagged(name)) {
            operation.write(document, &mut html);
        }
    }
    html.raw("<h2 id=\"schemas\">Schemas</h2>\n").append(&schemas(document));
    html
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, item)| {
            let methods = ["get", "post", "put", "patch", "delete"].into_iter();
            methods.filter_map(move |method| Some(Operation { method, path, told: item.get(method)? }))
        })
        .collect()
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(self.told, "/operationId")
    }

    fn is_tagged(&self, tag: &str) -> bool {
        text(self.told, "/tags/0") == tag
    }

    fn write(&self, document: &Value, html: &mut Html) {
        html.raw("<h3 id=\"").text(self.id()).raw("\"><code class=\"method\">").text(&self.method.to_uppercase());
        html.raw("</code> <code>").text(self.path).raw("</code></h3>\n<p>").prose(text(self.told, "/summary"));
        html.raw("</p>\n");
        if let Some(description) = self.told["description"].as_str() {
            html.raw("<p>").prose(description).raw("</p>\n");
        }
        self.write_permissions(html);
        self.write_parameters(document, html);
        let body = content(&self.told["requestBody"]);
        if let Some((kind, schema)) = body.first() {
            html.raw("<p>Body: ").append(&type_of(schema)).raw(" as <code>").text(kind).raw("</code></p>\n");
        }
        write_example("An example of the body", &self.told["requestBody"], html);
        self.write_answers(document, html);
        for (status, answer) in self.told["responses"].as_object().into_iter().flatten() {
            if status.starts_with('2') {
                write_example("An example of the answer", answer, html);
            }
        }
    }

    fn write_permissions(&self, html: &mut Html) {
        let needed = self.told.pointer("/security/0/bearer").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut names = needed.iter().filter_map(Value::as_str);
        let Some(first) = names.next() else {
            html.raw("<p class=\"note\">Needs no key.</p>\n");
            return;
        };
        html.raw("<p class=\"note\">Needs the permission <code>").text(first).raw("</code>");
        for name in names {
            html.raw(" and the permission <code>").text(name).raw("</code>");
        }
        html.raw(".</p>\n");
    }

    fn write_parameters(&self, document: &Value, html: &mut Html) {
        let parameters = self.told["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        if parameters.is_empty() {
            return;
        }
        html.raw("<table>\n<tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>\n");
        for parameter in parameters {
            let parameter = resolved(document, parameter);
            html.raw("<tr><td><code>").text(text(parameter, "/name")).raw("</code></td><td>");
            html.text(text(parameter, "/in")).raw("</td><td>").append(&type_of(&parameter["schema"])).raw("</td><td>");
            html.prose(text(parameter, "/description")).raw("</td></tr>\n");
        }
        html.raw("</table>\n");
    }

    fn write_answers(&self, document: &Value, html: &mut Html) {
        html.raw("<table>\n<tr><th>status</th><th>answer</th><th></th></tr>\n");
        for (status, answer) in self.told["responses"].as_object().into_iter().flatten() {
            let answer = resolved(document, answer);
            html.raw("<tr><td>").text(status).raw("</td><td>");
            for (kind, schema) in content(answer) {
                html.append(&type_of(schema));
                if kind != "application/json" && kind != "application/problem+json" {
                    html.raw(" as <code>").text(kind).raw("</code>");
                }
                html.raw(" ");
            }
            html.raw("</td><td>").prose(text(answer, "/description"));
            for (name, header) in answer["headers"].as_object().into_iter().flatten() {
                html.raw(" <br><code>")
                    .text(name)
                    .raw("</code>: ")
                    .prose(text(resolved(document, header), "/description"));
            }
            html.raw("</td></tr>\n");
        }
        html.raw("</table>\n");
    }
}

/// What a body looks like, folded away.
fn write_example(title: &'static str, body: &Value, html: &mut Html) {
    for (kind, content) in body["content"].as_object().into_iter().flatten() {
        let example = &content["example"];
        if example.is_null() {
            continue;
        }
        html.raw("<details><summary>").raw(title).raw(" as <code>").text(kind).raw("</code></summary>\n<pre>");
        match example {
            Value::String(text) => html.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                html.text(&format!("{example:#}"))
            }
        };
        html.raw("</pre></details>\n");
    }
}

/// What a reference into the document leads to; anything else is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|target| document.pointer(target)).unwrap_or(value)
}

/// The media types of a body, each with its schema.
fn content(body: &Value) -> Vec<(&str, &Value)> {
    let content = body["content"].as_object().into_iter().flatten();
    content.map(|(kind, content)| (kind.as_str(), &content["schema"])).collect()
}

/// The text at a JSON pointer; empty when there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
