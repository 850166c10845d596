-- wrap_use.lua -- prints what wrap_use.c prints, through the wrappers for LuaJIT.
local ffi = require("ffi")
local TEXT = "  Naïve café — 東京 😀 x"

local ctx = require("wrap_embed").new()
local v = ctx:embed("hello world")
print(("embed %.5f %.5f %.5f %.5f"):format(v[1], v[2], v[3], v[4]))
local n = 0
ctx:begin("hello world")
while not ctx:step(1) do
    n = n + 1
end
local w = ctx:vector()
print(("slices %d %d"):format(n > 1 and 1 or 0, v[1] == w[1] and v[2] == w[2] and v[3] == w[3] and v[4] == w[4] and 1 or 0))
ctx:close()

ctx = require("wrap_class").new({threads = 2})
for i, score in ipairs(ctx:classify("paris is big")) do
    print(("class %s %.5f"):format(ctx:label(i), score))
end

local pair = require("wrap_pair").new():classify_pair("fox", "a dog")
print(("pair %.5f %.5f"):format(pair[1], pair[2]))

for _, span in ipairs(require("wrap_tag").new():tag(TEXT)) do
    assert(TEXT:sub(span.first, span.last) == span.text)
    print(("tag %s %.5f %d [%s]"):format(span.name, span.score, span.label - 1, span.text))
end

local span = require("wrap_answer").new():answer("who ?", "  Naïve café 東京 😀 don't state")
print(("answer %.5f [%s]"):format(span.score, span.text))

ctx = require("wrap_fill").new()
for _, word in ipairs(ctx:fill("the [MASK] fox")) do
    print(("fill %d %.5f [%s]"):format(word.id, word.score, word.text))
end
local ok, message = pcall(ctx.fill, ctx, "no")
assert(not ok and message:find("mask"))
print("error 1")

ctx = require("wrap_state").new()
local x, state = ffi.new("float[32]"), nil
for i = 0, 31 do
    x[i] = i / 32
end
ctx:bind("x", "float", x, 2, 16)
for i = 1, 3 do
    ctx:run()
    local total, y, dims = ctx:result("total"), ctx:result("y")
    print(("total %.5f %.5f %dx%d"):format(total[0], y[31], dims[1], dims[2]))
    if i == 1 then
        state = ctx:save()
    elseif i == 2 then
        ctx:load(state)
    end
end
