#!/bin/sh
# cli_test.sh SINTER: the contract of the command on fixture models: what it prints, exit codes, one line an error.
# Fixtures lie in $SN_SHARED, or else in ../shared beside the source tree; 77: there are none.
sinter=$1
root=$(cd "$(dirname "$0")/.." && pwd)
shared=${SN_SHARED:-$root/../shared}
models=$shared/fixtures/pipeline
[ -d "$models" ] || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export SINTER_DEVICE=interp XDG_CACHE_HOME="$dir/cache"
mask=$models/fill-mask/model label=$models/text-classification/model tags=$models/token-classification/model
features=$models/feature-extraction/model entail=$models/zero-shot-classification/model
sentence=$shared/fixtures/sentence/cls/model
bad=0
: >"$dir/in"

fail() {
    echo "FAILED: $*"
    sed 's/^/  | /' "$dir/out" "$dir/err" | head -20
    bad=1
}

# expect CODE PATTERN ARG...: exit code, and a line of the output (or the one line of error) that matches.
expect() {
    code=$1 pattern=$2
    shift 2
    "$sinter" "$@" <"$dir/in" >"$dir/out" 2>"$dir/err"
    got=$?
    [ $got -eq "$code" ] || { fail "exit $got, expected $code: $*"; return; }
    if [ "$code" -eq 0 ]; then
        [ -z "$pattern" ] || grep -q -e "$pattern" "$dir/out" || fail "no $pattern: $*"
    else
        [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q "^sinter: .*$pattern" "$dir/err" || fail "no one line $pattern: $*"
    fi
}

# give TEXT: the standard input of what follows.
give() { printf "$1" >"$dir/in"; }
# lines N: the last command printed so many.
lines() { [ "$(wc -l <"$dir/out")" -eq "$1" ] || fail "expected $1 lines"; }

# ---- no model
give ""
expect 0 '^  Once upon a time' run --kwargs '{"max_new_tokens": 2}'
give "The cat\nA dog\n"
expect 0 '^  The cat' run --kwargs '{"max_new_tokens": 2}'
expect 0 '^  A dog' run --task text-generation --kwargs '{"max_new_tokens": 2}'
give ""
expect 0 '^, there' generate --prompt "Once upon a time" --max-new-tokens 3
expect 1 'distilbert/distilbert-base-uncased-finetuned-sst-2-english' run --task sentiment-analysis
expect 2 'no-such-task' run --task no-such-task
expect 2 'expected a model' embed

# ---- run
expect 0 '^\[{"score": 0.38960.*"token_str": "##n", "sequence": "then fox"}' run "$mask" 'the [MASK] fox' --json
expect 0 '^  0.3896  ##n  then fox$' run "$mask" 'the [MASK] fox'
expect 0 '"token_str": "fox"\|"token_str": "fo"' run "$mask" 'the [MASK]' --json --kwargs '{"targets": ["fox"]}' -q
expect 0 '^\[{"label": "NEGATIVE", "score": 0.7086' run "$label" 'Paris is the capital of France.' --json
expect 0 '^  0.7086  NEGATIVE$' run "$label" 'Paris is the capital of France.'
expect 0 '^\[{"label"' run "$label" '{"text": "hello", "text_pair": "world"}' --json --kwargs '{"top_k": null}'
expect 0 'of france  \[21, 30)$' run "$tags" 'Paris is the capital of France.' --kwargs '{"aggregation_strategy": "simple"}'
expect 0 '^\[{"entity": "I-LOC", "score": 0.5118' run "$tags" 'Paris is the capital of France.' --task ner --json
expect 0 '^-1.909922 ' run "$features" hello
expect 0 '^\[\[\[-1.9099' run "$features" hello --json
expect 0 '^{"sequence": "hello world", "labels": \["world", "dog"\]' run "$entail" --json \
    --task zero-shot-classification '{"sequence": "hello world", "candidate_labels": "world, dog"}' \
    --kwargs '{"multi_label": true, "hypothesis_template": "It was {}."}'
expect 0 '"answer"' run "$features" 'where is it?' 'paris is the capital' --task question-answering --json -q
expect 0 '^\[{"label"' run "$label" --json -- '--json'
expect 0 '^\[{"label"' run "$label" "$(printf 'caf\303\251 \377\360')" --json

give 'hello\n\nParis is the capital of France.'
expect 0 NEGATIVE run "$label" -
lines 3
expect 0 NEGATIVE run "$label"
lines 3
cp "$dir/in" "$dir/texts"
expect 0 '^\[{"label"' run "$label" "$dir/texts" hello --json
lines 4
give ''
expect 0 '' run "$label" -
lines 0
give 'a\000b \377\n'
expect 0 '^\[{"label"' run "$label" - --json

expect 1 'no \[MASK\]' run "$mask" 'no mask'
expect 1 'not a model folder' run "$dir" hello
expect 1 'no such file or folder' run "$dir/no-such" hello
"$sinter" run "$label" - <"$dir" 2>"$dir/err" && fail 'a folder was read as text'
grep -q 'standard input: Is a directory' "$dir/err" || fail "$(cat "$dir/err")"
expect 0 '' run "$label" hello --cache-dir "$dir/in"
[ "$(grep -c 'not used as a cache' "$dir/err")" = 1 ] || fail 'a warning is said once'
expect 1 'top_k' run "$mask" 'the [MASK]' --kwargs '{"top_k": "a"}'
expect 1 'top_k' run "$mask" 'the [MASK]' --kwargs '{"top_k": 100000}'
expect 1 'aggregation_strategy' run "$tags" hello --kwargs '{"aggregation_strategy": "bo\ngus"}'
expect 1 'candidate' run "$entail" hello --task zero-shot-classification
expect 1 'question' run "$features" hello --task question-answering
expect 3 'image-segmentation' run "$label" hello --task image-segmentation
expect 3 'argument bogus' run "$mask" 'the [MASK]' --kwargs '{"bogus": 1}'
expect 2 'quant' run "$mask" 'the [MASK]' --quant q9
expect 0 '' run "$mask" 'the [MASK]' --quant q8

# ---- embed
expect 0 '^\[-*[0-9.e-]*, ' embed "$sentence" 'The quick brown fox.' hello --json
lines 2
expect 0 '^\(1.0\|1.000000[0-9]*\|0.99999[0-9]*\) 0.92731' embed "$sentence" 'The quick brown fox.' hello --similarity
give 'hello\n'
expect 0 '^-*[0-9]' embed "$sentence"
lines 1
give ''
expect 0 '' embed "$sentence"
lines 0

# ---- tokenize
give 'Hello fox\n'
expect 0 '"tokens": \["\[CLS\]", "hell", "##o", "fo", "##x", "\[SEP\]"\], "offsets": \[\[0, 0\], \[0, 4\], \[4, 5\], \[6, 8\], \[8, 9\], \[0, 0\]\]' \
    tokenize "$mask"
expect 0 '"tokens": \["hell", "##o", "fo", "##x"\]' tokenize "$mask" --no-special
expect 0 '"overflow": \[{"ids"' tokenize "$mask" --max-length 4 --stride 1
expect 0 '"\[SEP\]", "\[PAD\]", "\[PAD\]"\]' tokenize "$mask" --pad-length 8
expect 0 '"\[PAD\]", "\[CLS\]"' tokenize "$mask" --pad-multiple 8 --pad-side left
give '"two\\nlines"\n"b"\n'
expect 0 '"tokens"' tokenize "$mask" --json
lines 2
give '["hello", "fox"]\n'
expect 0 '"type_ids": \[0, 0, 0, 0, 1, 1, 1\]' tokenize "$mask" --json --pair
give '[2, 182, 74, 3]\n'
expect 0 '^"\[CLS\] ' tokenize "$mask" --json --decode
expect 0 '^"hell' tokenize "$mask" --json --decode --skip-special
expect 0 CLS tokenize "$mask" -
give 'not json\n'
expect 1 'standard input' tokenize "$mask" --json
give '[1.5]\n'
expect 1 'ids' tokenize "$mask" --json --decode
give '[-1]\n'
expect 1 'id' tokenize "$mask" --json --decode
give 'a\n'
expect 1 'nope' tokenize "$mask" --pad-token nope --pad
expect 1 'stride' tokenize "$mask" --max-length 4 --stride 9
expect 2 'max-length' tokenize "$mask" --max-length x
expect 2 'max-length' tokenize "$mask" --max-length 0
expect 2 'truncation' tokenize "$mask" --truncation most
expect 2 'pair' tokenize "$mask" --pair

# ---- plan
# number KEY: its value in what was printed.
number() { sed -n "s/.*\"$1\": \([0-9.e+-]*\)[,}].*/\1/p" "$dir/out"; }
expect 0 '^{"weight_bytes": [0-9]*, "packed_bytes": [0-9]*, "scratch_bytes": [0-9]*, "kv_bytes_per_token": null, "peak_bytes": [0-9]*, "steps": [0-9]*}$' \
    plan "$label" --shape batch=1,seq=16 --json
small=$(number scratch_bytes)
expect 0 '"steps": ' plan "$label" --shape seq=16,batch=8 --json
[ "$(number scratch_bytes)" -gt "$small" ] || fail 'a larger batch takes no more memory'
expect 0 '^batch=1,seq=' plan "$label"
expect 0 '^peak ' plan "$label" --shape batch=2
expect 1 'batch is 0, allowed 1' plan "$label" --shape batch=0
expect 1 'seq is 100000, the model has' plan "$label" --shape seq=100000
expect 1 'no-such' plan "$dir/no-such"
expect 2 'NAME=NUMBER' plan "$label" --shape batch
expect 2 'NAME=NUMBER' plan "$label" --shape batch=1,seq=x
expect 2 'no dim height' plan "$label" --shape height=3

# ---- bench
expect 0 '^{"ms_median": ' bench "$label" --shape batch=1,seq=4 --json --kernels --svg "$dir/bench.svg"
for key in ms_median ms_p90 ms_best items_per_s compile_ms load_ms peak_bytes; do
    [ -n "$(number $key)" ] || fail "no number $key"
done
for key in prefill_tokens_per_s decode_tokens_per_s read_GBps share_of_read peak_GFLOPs share_of_peak kernels; do
    grep -q "\"$key\": " "$dir/out" || fail "no $key"
done
grep -q '"name": "contract_f32", "calls": [1-9]' "$dir/out" || fail 'no kernel'
grep -q '^</svg>' "$dir/bench.svg" || fail 'no picture'
give 'hello fox\nParis is the capital of France.\n'
expect 0 '^{"cold_MBps": [0-9.e-]*, "warm_MBps": [0-9.e-]*, "decode_MBps": [0-9.e-]*, "tokens": [1-9][0-9]*}$' \
    bench "$label" --input - --json
expect 1 'no-such' bench "$label" --input "$dir/no-such"
expect 1 'no-such' bench "$dir/no-such"
expect 1 'bench.svg' bench "$sentence" --task embed --shape seq=4 --svg "$dir/no-such/bench.svg"
expect 2 'NAME=NUMBER' bench "$label" --shape 3
expect 2 'no dim height' bench "$label" --shape height=3
expect 3 'image-segmentation' bench "$label" --task image-segmentation

# ---- tensors
a=$dir/a.safetensors
expect 0 '' tensors merge "$mask" -o "$a"
expect 0 '' tensors split "$a" -o "$dir/shards" --max-shard-size 10KB
expect 0 '' tensors merge "$dir/shards" -o "$dir/b.safetensors"
cmp -s "$a" "$dir/b.safetensors" || fail "split and merged: other bytes"
expect 0 '' tensors diff "$dir/shards" "$a"
lines 0
expect 0 '' tensors hash "$a"
cp "$dir/out" "$dir/hash"
expect 0 '' tensors hash "$dir"/shards/*.safetensors
cmp -s "$dir/hash" "$dir/out" || fail "hashes of shards differ"
expect 0 '' tensors cast "$a" --to bf16 -o "$dir/b.safetensors"
expect 0 '^cls.predictions.bias  BF16  \[[0-9]*\]  [0-9]*$' tensors ls "$dir/b.safetensors"
"$sinter" tensors diff "$a" "$dir/b.safetensors" >"$dir/out"
[ $? -eq 1 ] && grep -q '^! cls.predictions.bias  F32 \[.*\] | BF16 \[.*\]  [0-9]* of [0-9]* differ' "$dir/out" || fail "diff"
expect 0 '' tensors rename "$a" 'cls.*=' 'bert.*=*' -o "$dir/b.safetensors"
expect 0 '^embeddings.word_embeddings.weight ' tensors ls "$dir/b.safetensors"
grep -q cls "$dir/out" && fail "a tensor that was left out"
expect 0 '^-\{0,1\}[0-9.e-]* -\{0,1\}[0-9.e-]* ' tensors cat "$a" bert.embeddings.LayerNorm.weight
expect 1 'no tensor is named x' tensors cat "$a" x
expect 1 'tensor .* is in another file too' tensors ls "$a" "$a"
expect 1 'two tensors are named x' tensors rename "$a" '*=x' -o "$dir/c.safetensors"
[ -e "$dir/c.safetensors" ] && fail "half a file"
expect 3 'no floats in a format "I8"' tensors cast "$a" --to i8 -o "$dir/c.safetensors"
expect 2 'expected ls, cat' tensors sum "$a"
expect 2 'expected diff A B' tensors diff "$a"
expect 2 'expected FROM=TO' tensors rename "$a" x -o "$dir/c.safetensors"

# ---- compile
so=$dir/m.so
expect 2 'o is needed' compile "$label"
expect 2 'ends in .so' compile "$label" -o "$dir/m.txt"
expect 2 'ends in .so' compile "$label" -o "$dir/.so"
expect 2 'cpu: "v9"' compile "$label" -o "$so" --cpu v3,v9
expect 2 'cpu: ""' compile "$label" -o "$so" --cpu v3,
expect 2 'weights' compile "$label" -o "$so" --weights both
expect 2 'bindings: "fortran"' compile "$label" -o "$so" --bindings cpp,fortran
expect 2 'max-text' compile "$label" -o "$so" --max-text 0
expect 1 'no-such' compile "$dir/no-such" -o "$so"
expect 3 'summarization' compile "$label" -o "$so" --task summarization
expect 3 'no-such' compile "$label" -o "$so" --want no-such
expect 1 'no-such' compile "$label" -o "$dir/no-such/m.so" --cpu v3
for left in "$dir"/m.*; do
    [ -e "$left" ] && fail "$left was left behind"
done
if "$sinter" devices | grep -q '^cpu .*vectors'; then
    expect 0 '^{"code_bytes": [1-9][0-9]*, "runtime_bytes": [1-9][0-9]*, "tokenizer_bytes": [1-9][0-9]*, "weight_bytes": [1-9]' \
        compile "$label" -o "$so" --cpu v3 --size --json --bindings python
    [ -s "$dir/m.h" ] || fail 'no header'
    expect 0 '^  0.7086  NEGATIVE$' run "$so" 'Paris is the capital of France.'
    expect 0 '^task: text-classification$' inspect "$so"
    expect 3 'compiled for' embed "$so" hello
    expect 3 'not for fill-mask' run "$so" hello --task fill-mask
    head -c 20000 "$so" >"$dir/cut.so"
    expect 1 'cut off' run "$dir/cut.so" hello
    expect 0 '^weights' compile "$sentence" -o "$so" --cpu v3 --size --weights file
    [ -s "$dir/m.weights" ] || fail 'no weights beside'
    expect 0 '^\(1.0\|1.000000[0-9]*\|0.99999[0-9]*\) 0.92731' embed "$so" 'The quick brown fox.' hello --similarity
    printf 'x' | dd of="$dir/m.weights" bs=1 seek=100 conv=notrunc 2>"$dir/err"
    expect 1 'weights' embed "$so" hello
    expect 0 '' compile "$mask" -o "$so" --cpu v3 --input input_ids,attention_mask,token_type_ids --want logits
    expect 0 '' forward "$so" --inputs "$shared/fixtures/sentence/cls/inputs.safetensors" --outputs "$dir/so.safetensors"
    [ -s "$dir/so.safetensors" ] || fail 'no file was written'
    printf 'program @p\ndims n in 1..9\nentry @main(x: f32[n]) {\n  ret twice: (add x x)\n}\n' >"$dir/p.sn"
    expect 0 '' compile "$dir/p.sn" -o "$dir/p.so" --cpu v3
    expect 0 'twice' inspect "$dir/p.so"
fi

# ---- chat
talker=$shared/fixtures/forward/llama-tok/model
give 'hello\n'
expect 1 'there is no chat template' chat "$talker"
mkdir "$dir/talker"
cp "$talker"/*.json "$talker"/*.safetensors "$dir/talker"
echo '{% for m in messages %}[{{ m.role }}] {{ m.content }}
{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}' >"$dir/talker/chat_template.jinja"
give "hello\\nagain\\n/undo\\n/system be brief\\n/set max-new-tokens=2\\n/save $dir/chat.json\\n/clear\\n/load $dir/chat.json"
expect 0 '' chat "$dir/talker" --max-new-tokens 4
grep -q '^\[{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}, {"role": "assistant", ' \
    "$dir/chat.json" || fail 'no conversation was saved'
give 'hello\nagain\n'
expect 0 '' chat "$dir/talker" --max-new-tokens 4 -v
grep -q 'fed 29 of 53 tokens' "$dir/err" || fail 'known tokens were fed again'
give '/undo\n'
expect 1 'nothing was said' chat "$dir/talker"
give '/set max-new-tokens=abc'
expect 1 'max_new_tokens' chat "$dir/talker"
expect 0 '^\[{"generated_text": \[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "' run "$dir/talker" \
    '[{"role": "user", "content": "hi"}]' --json --kwargs '{"max_new_tokens": 4, "do_sample": false}'
expect 0 '^\[{"generated_text": "hello' run "$dir/talker" hello --json --kwargs '{"max_new_tokens": 4}'
: >"$dir/in"

# ---- the command line
expect 2 'command' 
expect 2 'nope' nope
expect 2 'no option --nope' run "$mask" a --nope
expect 2 '--task needs a value' run "$mask" a --task
expect 2 'kwargs' run "$mask" a --kwargs '[1]'
expect 2 'kwargs' run "$mask" a --kwargs '{'
expect 2 'threads' run "$mask" a --threads 0
expect 2 'dtype' run "$mask" a --dtype f99
expect 2 'too many' models extra
expect 2 "too many" inspect "$mask" extra
expect 2 'inputs' forward "$mask"
expect 0 'sinter run' --help
for command in run embed forward generate chat tokenize inspect compile plan bench models ops devices; do
    expect 0 "^example: sinter $command\\|^example: .*| sinter $command" $command --help
done

# ---- files: beside, then renamed; nothing is left where it fails
expect 1 'no-such' forward "$mask" --inputs "$dir/no-such" --outputs "$dir/out.safetensors"
expect 3 'no-such' forward "$mask" --inputs "$shared/fixtures/sentence/cls/inputs.safetensors" \
    --outputs "$dir/out.safetensors" --want no-such
[ -e "$dir/out.safetensors" ] && fail 'a file was left behind'
expect 0 '' forward "$mask" --inputs "$shared/fixtures/sentence/cls/inputs.safetensors" --outputs "$dir/out.safetensors"
[ -s "$dir/out.safetensors" ] || fail 'no file was written'
exit $bad
