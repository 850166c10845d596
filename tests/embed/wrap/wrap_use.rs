// wrap_use.rs -- prints what wrap_use.c prints, through the wrappers for Rust.
mod wrap_answer;
mod wrap_class;
mod wrap_embed;
mod wrap_fill;
mod wrap_pair;
mod wrap_state;
mod wrap_tag;

fn use_texts() -> Result<(), Box<dyn std::error::Error>> {
    let mut ctx = wrap_embed::Context::new(&Default::default())?;
    let v = ctx.embed("hello world")?;
    println!("embed {:.5} {:.5} {:.5} {:.5}", v[0], v[1], v[2], v[3]);
    let mut n = 0;
    ctx.begin("hello world")?;
    while !ctx.step(1)? {
        n += 1;
    }
    println!("slices {} {}", (n > 1) as i32, (ctx.vector()? == v) as i32);
    let canceller = ctx.canceller();
    std::thread::spawn(move || canceller.cancel()).join().unwrap();
    assert_eq!(ctx.embed("hello world")?, v);

    let options = wrap_class::Options { threads: 2, ..Default::default() };
    let mut ctx = wrap_class::Context::new(&options)?;
    for (i, score) in ctx.classify("paris is big")?.iter().enumerate() {
        println!("class {} {:.5}", wrap_class::Context::label(i), score);
    }

    let scores = wrap_pair::Context::new(&Default::default())?.classify_pair("fox", "a dog")?;
    println!("pair {:.5} {:.5}", scores[0], scores[1]);

    let text = "  Naïve café — 東京 😀 x";
    for s in wrap_tag::Context::new(&Default::default())?.tag(text)? {
        println!("tag {} {:.5} {} [{}]", s.name, s.score, s.label, &text[s.begin..s.end]);
    }

    let text = "  Naïve café 東京 😀 don't state";
    let s = wrap_answer::Context::new(&Default::default())?.answer("who ?", text)?;
    println!("answer {:.5} [{}]", s.score, &text[s.begin..s.end]);

    let mut ctx = wrap_fill::Context::new(&Default::default())?;
    for w in ctx.fill("the [MASK] fox")? {
        println!("fill {} {:.5} [{}]", w.id, w.score, w.text);
    }
    println!("error {}", ctx.fill("no").unwrap_err().status);
    Ok(())
}

fn use_state() -> Result<(), Box<dyn std::error::Error>> {
    let mut ctx = wrap_state::Context::new(&Default::default())?;
    let x: Vec<f32> = (0..32).map(|i| i as f32 / 32.0).collect();
    let mut state = Vec::new();
    ctx.bind("x", &x, &[2, 16])?;
    assert!(ctx.bind("x", &x, &[3, 16]).is_err());
    for i in 0..3 {
        ctx.run()?;
        let total = ctx.result::<f32>("total")?.0[0];
        let (y, dims) = ctx.result::<f32>("y")?;
        println!("total {:.5} {:.5} {}x{}", total, y[31], dims[0], dims[1]);
        if i == 0 {
            state = ctx.save()?;
        }
        if i == 1 {
            ctx.load(&state)?;
        }
    }
    Ok(())
}

fn main() {
    use_texts().unwrap();
    use_state().unwrap();
}
