//! Statements.

use pest::iterators::Pair;

use super::expr::expr;
use super::{Parts, ident, span};
use crate::ast::{Body, Ident, Net, Role, Stmt, StmtKind, Target, TargetIndex, Type, VarStmt};
use crate::error::{SyntaxError, bug};
use crate::grammar::Rule;

pub(super) fn statement(pair: Pair<'_, Rule>) -> Result<Stmt, SyntaxError> {
    let span = span(&pair);
    let rule = pair.as_rule();
    let mut parts = Parts::of(pair);
    let kind = match rule {
        Rule::dims => dims(parts)?,
        Rule::constant => constant(parts)?,
        Rule::variable => StmtKind::Var(variable(parts)?),
        Rule::net => StmtKind::Net(net(parts)?),
        Rule::for_each => StmtKind::ForEach {
            column: ident(&parts.want()?),
            body: block(parts.want()?)?,
        },
        Rule::chain => chain(parts)?,
        Rule::guide => StmtKind::Guide(block(parts.want()?)?),
        Rule::fit => fit(parts)?,
        Rule::weight => StmtKind::Weight(ident(&parts.want()?)),
        Rule::header => {
            return Err(SyntaxError::Misplaced {
                message: "`model NAME` is the first statement of a file".into(),
                span,
                help: "move it to the top; a file holds one model".into(),
            });
        }
        other => return Err(bug(format!("{other:?} is not a statement"))),
    };
    Ok(Stmt { span, kind })
}

fn block(pair: Pair<'_, Rule>) -> Result<Vec<Stmt>, SyntaxError> {
    let mut parts = Parts::of(pair);
    let mut body = Vec::new();
    while let Some(pair) = parts.take() {
        body.push(statement(pair)?);
    }
    Ok(body)
}

fn dims(mut parts: Parts<'_>) -> Result<StmtKind, SyntaxError> {
    let mut sizes = Vec::new();
    while let Some(size) = parts.take() {
        let mut size = Parts::of(size);
        let name = ident(&size.want()?);
        let value = size.take().map(expr).transpose()?;
        sizes.push((name, value));
    }
    Ok(StmtKind::Dim(sizes))
}

fn constant(mut parts: Parts<'_>) -> Result<StmtKind, SyntaxError> {
    let target = target(parts.want()?)?;
    let ty = parts.take_if(Rule::type_).map(type_).transpose()?;
    let value = parts.take().map(expr).transpose()?;
    Ok(StmtKind::Const { target, ty, value })
}

fn variable(mut parts: Parts<'_>) -> Result<VarStmt, SyntaxError> {
    let mut var = VarStmt {
        role: None,
        global: None,
        targets: Vec::new(),
        ty: None,
        body: None,
    };
    while let Some(pair) = parts.take() {
        let at = span(&pair);
        match pair.as_rule() {
            Rule::kw_global => var.global = Some(at),
            Rule::kw_param => var.role = Some((Role::Param, at)),
            Rule::kw_latent => var.role = Some((Role::Latent, at)),
            Rule::kw_data => var.role = Some((Role::Data, at)),
            Rule::kw_given => var.role = Some((Role::Given, at)),
            Rule::kw_noise => var.role = Some((Role::Noise, at)),
            Rule::target => var.targets.push(target(pair)?),
            Rule::type_ => var.ty = Some(type_(pair)?),
            Rule::random => var.body = Some(Body::Random(expr(Parts::of(pair).want()?)?)),
            Rule::equation => var.body = Some(Body::Equal(expr(Parts::of(pair).want()?)?)),
            other => return Err(bug(format!("{other:?} in a variable's statement"))),
        }
    }
    Ok(var)
}

fn target(pair: Pair<'_, Rule>) -> Result<Target, SyntaxError> {
    let span = span(&pair);
    let mut parts = Parts::of(pair);
    let name = ident(&parts.want()?);
    let mut indices = Vec::new();
    while let Some(places) = parts.take() {
        let mut places = Parts::of(places);
        while let Some(place) = places.take() {
            let inner = Parts::of(place).want()?;
            indices.push(if inner.as_rule() == Rule::family {
                let mut family = Parts::of(inner);
                TargetIndex::Family {
                    index: ident(&family.want()?),
                    from: expr(family.want()?)?,
                    to: expr(family.want()?)?,
                }
            } else {
                TargetIndex::Position(expr(inner)?)
            });
        }
    }
    Ok(Target { name, indices, span })
}

fn type_(pair: Pair<'_, Rule>) -> Result<Type, SyntaxError> {
    let span = span(&pair);
    let mut parts = Parts::of(pair);
    let base = ident(&parts.want()?);
    let mut sizes = Vec::new();
    while let Some(size) = parts.take() {
        sizes.push(expr(size)?);
    }
    Ok(Type { base, sizes, span })
}

fn chain(mut parts: Parts<'_>) -> Result<StmtKind, SyntaxError> {
    let index = ident(&parts.want()?);
    let range = match parts.take_if(Rule::range) {
        Some(range) => {
            let mut ends = Parts::of(range);
            Some((expr(ends.want()?)?, expr(ends.want()?)?))
        }
        None => None,
    };
    let by = parts.take_if(Rule::name).map(|p| ident(&p));
    let body = block(parts.want()?)?;
    Ok(StmtKind::Chain { index, range, by, body })
}

fn fit(mut parts: Parts<'_>) -> Result<StmtKind, SyntaxError> {
    let mut settings = Vec::new();
    while let Some(setting) = parts.take() {
        let mut setting = Parts::of(setting);
        settings.push((ident(&setting.want()?), expr(setting.want()?)?));
    }
    Ok(StmtKind::Fit(settings))
}

fn net(mut parts: Parts<'_>) -> Result<Net, SyntaxError> {
    let name = ident(&parts.want()?);
    let inputs = fields(parts.want()?)?;
    let outputs = fields(parts.want()?)?;
    let mut body = Vec::new();
    while let Some(line) = parts.take() {
        let at = span(&line);
        let mut line = Parts::of(line);
        let mut names = Vec::new();
        while let Some(name) = line.take_if(Rule::name) {
            names.push(ident(&name));
        }
        body.push((names, expr(line.want()?)?, at));
    }
    Ok(Net {
        name,
        inputs,
        outputs,
        body,
    })
}

fn fields(pair: Pair<'_, Rule>) -> Result<Vec<(Ident, Type)>, SyntaxError> {
    let mut parts = Parts::of(pair);
    let mut out = Vec::new();
    while let Some(field) = parts.take() {
        let mut field = Parts::of(field);
        out.push((ident(&field.want()?), type_(field.want()?)?));
    }
    Ok(out)
}
