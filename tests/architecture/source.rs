//! A source tree as its `mod` declarations span it: modules, the names in them, and every path that they mention.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module of the crate by its names, from the root on.
pub type ModPath = Vec<String>;

/// Every file that `lib.rs` reaches.
pub struct SourceTree {
    pub files: Vec<SourceFile>,
    pub modules: BTreeMap<ModPath, Module>,
}

pub struct SourceFile {
    /// Relative to the directory of `lib.rs`.
    pub path: String,
    pub lines: usize,
}

#[derive(Default)]
pub struct Module {
    /// Index in [`SourceTree::files`].
    pub file: usize,
    pub test: bool,
    /// Names that it defines, child modules excepted.
    pub items: BTreeSet<String>,
    /// Words in its macros, which may define them.
    pub words: BTreeSet<String>,
    /// Child modules in the order of their declarations, with their documentation.
    pub children: Vec<(String, String)>,
    /// `use` declarations: the name that is bound, and what it stands for.
    pub bindings: BTreeMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    pub types: Vec<(String, usize)>,
    pub functions: Vec<Function>,
    /// Lines with `unsafe`.
    pub unsafe_lines: Vec<usize>,
}

/// A path in the code.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    pub how: How,
    /// In a unit test.
    pub test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Use,
    /// A `use` that others see.
    ReExport,
    Glob,
    Inline,
    /// The name of a macro that is called.
    Macro,
    /// The name of a method that is called.
    Method,
}

pub struct Function {
    pub name: String,
    pub line: usize,
    /// Without `self`.
    pub parameters: usize,
}

impl SourceTree {
    /// Reads the tree below `lib.rs` in `src`.
    pub fn read(src: &Path) -> SourceTree {
        let mut tree = SourceTree {
            files: Vec::new(),
            modules: BTreeMap::new(),
        };
        tree.read_file(src, &src.join("lib.rs"), Vec::new(), false);
        tree
    }

    fn read_file(&mut self, src: &Path, path: &Path, module: ModPath, test: bool) {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let code =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = self.files.len();
        self.files.push(SourceFile {
            path: path.strip_prefix(src).unwrap().display().to_string(),
            lines: text.lines().count(),
        });
        // `x/mod.rs` and `lib.rs` have their modules beside them, `x.rs` in `x/`.
        let dir = match path.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs") => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        self.read_items(src, &dir, file, module, test, &code.items);
    }

    fn read_items(
        &mut self,
        src: &Path,
        dir: &Path,
        file: usize,
        path: ModPath,
        test: bool,
        items: &[Item],
    ) {
        let mut module = Module {
            file,
            test,
            ..Module::default()
        };
        for item in items {
            if let Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                module
                    .children
                    .push((name.clone(), documentation(&inner.attrs)));
                let test = test || is_for_tests(&inner.attrs);
                let inner_path: ModPath = path.iter().cloned().chain([name.clone()]).collect();
                let inner_dir = dir.join(&name);
                match &inner.content {
                    Some((_, items)) => {
                        self.read_items(src, &inner_dir, file, inner_path, test, items)
                    }
                    None => self.read_file(src, &module_file(dir, &name), inner_path, test),
                }
            } else {
                module.read_item(item, test);
            }
        }
        self.modules.insert(path, module);
    }
}

fn module_file(dir: &Path, name: &str) -> PathBuf {
    let file = dir.join(format!("{name}.rs"));
    if file.exists() {
        file
    } else {
        dir.join(name).join("mod.rs")
    }
}

impl Module {
    fn read_item(&mut self, item: &Item, test: bool) {
        let (attrs, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => (&Vec::new(), None),
        };
        let test = test || is_for_tests(attrs);
        self.items.extend(name.map(ToString::to_string));
        let is_type = matches!(
            item,
            Item::Enum(_) | Item::Struct(_) | Item::Trait(_) | Item::Type(_) | Item::Union(_)
        );
        if let Some(name) = name.filter(|_| is_type && !test) {
            self.types.push((name.to_string(), line(name.span())));
        }
        if let Item::Macro(item) = item {
            words(item.mac.tokens.clone(), &mut self.words);
        }
        Reader { module: self, test }.visit_item(item);
    }

    fn mention(&mut self, path: Vec<String>, span: Span, how: How, test: bool) {
        let line = line(span);
        self.mentions.push(Mention {
            path,
            line,
            how,
            test,
        });
    }
}

fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                found.insert(word.to_string());
            }
            TokenTree::Group(group) => words(group.stream(), found),
            _ => {}
        }
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

/// Whether `#[cfg(…)]` compiles this for unit tests alone, or it is a test.
fn is_for_tests(attrs: &[Attribute]) -> bool {
    fn wants_test(tokens: TokenStream) -> bool {
        let mut negated = false;
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(name) => {
                negated = name == "not";
                name == "test"
            }
            TokenTree::Group(group) => !std::mem::take(&mut negated) && wants_test(group.stream()),
            _ => false,
        })
    }
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && wants_test(list.tokens.clone()),
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

fn documentation(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// Walks one item of a module.
struct Reader<'a> {
    module: &'a mut Module,
    test: bool,
}

impl Reader<'_> {
    fn within(&mut self, attrs: &[Attribute], walk: impl FnOnce(&mut Self)) {
        let before = self.test;
        self.test |= is_for_tests(attrs);
        walk(self);
        self.test = before;
    }

    fn found_unsafe(&mut self, token: Option<&syn::Token![unsafe]>) {
        self.module
            .unsafe_lines
            .extend(token.map(|token| line(token.span)));
    }

    fn read_use(&mut self, before: &[String], tree: &UseTree, how: How) {
        let with = |name: &syn::Ident| -> Vec<String> {
            before.iter().cloned().chain([name.to_string()]).collect()
        };
        match tree {
            UseTree::Path(inner) => self.read_use(&with(&inner.ident), &inner.tree, how),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.read_use(before, tree, how)),
            UseTree::Glob(glob) => {
                self.module.globs.push(before.to_vec());
                let span = glob.star_token.spans[0];
                self.module
                    .mention(before.to_vec(), span, How::Glob, self.test);
            }
            UseTree::Name(name) => self.bind(with(&name.ident), None, name.ident.span(), how),
            UseTree::Rename(name) => self.bind(
                with(&name.ident),
                Some(name.rename.to_string()),
                name.ident.span(),
                how,
            ),
        }
    }

    fn bind(&mut self, mut path: Vec<String>, name: Option<String>, span: Span, how: How) {
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = name.or_else(|| path.last().cloned());
        if let Some(name) = name.filter(|name| name != "_") {
            self.module.bindings.insert(name, path.clone());
        }
        self.module.mention(path, span, how, self.test);
    }

    /// Paths, `unsafe` and macro names in tokens that have no syntax tree.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => {
                    if name == "unsafe" {
                        self.module.unsafe_lines.push(line(name.span()));
                    }
                    if colons != 2 {
                        path.clear();
                    }
                    colons = 0;
                    path.push(name.to_string());
                    let goes_on = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                    let is_call = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!');
                    if is_call {
                        self.module
                            .mention(path.clone(), name.span(), How::Macro, self.test);
                    } else if !goes_on && path.len() > 1 {
                        self.module
                            .mention(path.clone(), name.span(), How::Inline, self.test);
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    // `crate::a::{b, c}` in a macro: the group's own paths go on from here.
                    if colons == 2 && !path.is_empty() {
                        self.module
                            .mention(path.clone(), group.span(), How::Inline, self.test);
                    }
                    (path, colons) = (Vec::new(), 0);
                    self.read_tokens(group.stream());
                }
                _ => (path, colons) = (Vec::new(), 0),
            }
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect()
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let how = match item.vis {
            syn::Visibility::Inherited => How::Use,
            _ => How::ReExport,
        };
        self.within(&item.attrs, |reader| reader.read_use(&[], &item.tree, how));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let span = path.segments[0].ident.span();
            self.module
                .mention(segments(path), span, How::Inline, self.test);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let span = call.path.segments[0].ident.span();
        self.module
            .mention(segments(&call.path), span, How::Macro, self.test);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attr: &'ast Attribute) {
        let syn::Meta::List(list) = &attr.meta else {
            return;
        };
        // `#[serde(with = "crate::a::b")]` is an import as well.
        for token in list.tokens.clone() {
            if let TokenTree::Literal(literal) = token
                && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                && let Ok(path) = text.parse::<syn::Path>()
                && path.segments.len() > 1
            {
                self.module
                    .mention(segments(&path), literal.span(), How::Inline, self.test);
            }
        }
        self.read_tokens(list.tokens.clone());
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let path = vec![call.method.to_string()];
        self.module
            .mention(path, call.method.span(), How::Method, self.test);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.found_unsafe(Some(&block.unsafe_token));
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.found_unsafe(Some(token));
        }
        let typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        self.module.functions.push(Function {
            name: signature.ident.to_string(),
            line: line(signature.ident.span()),
            parameters: signature.inputs.iter().filter(typed).count(),
        });
        visit::visit_signature(self, signature);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.found_unsafe(item.unsafety.as_ref());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.found_unsafe(item.unsafety.as_ref());
        visit::visit_item_foreign_mod(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.found_unsafe(item.unsafety.as_ref());
        self.within(&item.attrs, |reader| visit::visit_item_impl(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |reader| {
            visit::visit_impl_item_fn(reader, item)
        });
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |reader| visit::visit_item_fn(reader, item));
    }
}
