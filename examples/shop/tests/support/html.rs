//! As much of HTML as a browser without JavaScript needs here.

/// A form with its own inputs. Buttons are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub method: String,
    pub action: String,
    pub fields: Vec<(String, String)>,
}

impl Form {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// The same form with another value in one of its fields.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let field = self.fields.iter_mut().find(|(held, _)| held == name).unwrap();
        value.clone_into(&mut field.1);
        self
    }
}

/// The forms of a page that post.
pub fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for tag in html.split('<').skip(1) {
        match tag.split(|c: char| c.is_whitespace() || c == '>').next().unwrap_or("") {
            "form" => {
                let method = attribute(tag, "method").unwrap_or_else(|| "get".into()).to_lowercase();
                forms.push(Form { method, action: attribute(tag, "action").unwrap_or_default(), fields: Vec::new() });
                open = true;
            }
            "/form" => open = false,
            "input" if open => {
                if let (Some(form), Some(name)) = (forms.last_mut(), attribute(tag, "name")) {
                    form.fields.push((name, attribute(tag, "value").unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    forms.retain(|form| form.method == "post");
    forms
}

/// Where the links of a page lead.
pub fn links(html: &str) -> Vec<String> {
    html.split('<').filter(|tag| tag.starts_with("a ")).filter_map(|tag| attribute(tag, "href")).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let start = tag.find(&format!(" {name}="))? + name.len() + 2;
    let value = tag.get(start..)?;
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split_whitespace().next()?,
    };
    let plain = value.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&lt;", "<");
    Some(plain.replace("&gt;", ">").replace("&#38;", "&").replace("&amp;", "&"))
}
