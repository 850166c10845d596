-- main.lua -- a tavern whose guests feel and understand what they hear, in slices of half a millisecond a frame.
--
--   sinter compile CLASSIFIER -o npc_mood.so --bindings lua          what a line feels like
--   sinter compile all-MiniLM-L6-v2 -o npc_mind.so --bindings lua    what it means
--   (npc_mood.so, npc_mood.lua, npc_mind.so and npc_mind.lua lie beside this file)
--   love FOLDER                    space says the next line
--   love FOLDER FRAMES PICTURE     talks alone for so many frames, then writes a screenshot

local BUDGET_NS = 500000
local here = love.filesystem.getSource() .. "/"
local mood = require("npc_mood").new{path = here .. "npc_mood.so"}
local mind = require("npc_mind").new{path = here .. "npc_mind.so"}

local guests = {
    {name = "Berta", x = 110, coat = {0.72, 0.36, 0.27}, cheer = 0, knows = {
        {"a drink, please", "Ale or cider?"}, {"paying the bill", "Three coins, dear."}}},
    {name = "Hagen", x = 320, coat = {0.30, 0.42, 0.62}, cheer = 0, knows = {
        {"a fight or a threat", "Outside, now!"}, {"the king and his war", "Long live the king!"}}},
    {name = "Ysolde", x = 530, coat = {0.50, 0.38, 0.62}, cheer = 0, knows = {
        {"music and songs", "Shall I play?"}, {"magic and secrets", "Not so loud ..."}}},
}
local lines = {"One beer for me!", "Do you know a song?", "I will break your nose!", "What a lovely evening.",
    "Have you heard of the spell?", "How much do I owe you?"}

local frames, picture = 0, nil
local frame, spoken, slices, longest = 0, 0, 0, 0
local start = love.timer.getTime()
local line, scores, thought = nil, nil, nil

-- ---- thinking: a coroutine that gives way after each slice ----

local function wait_for(model)
    while not model:step(BUDGET_NS) do
        coroutine.yield()
    end
    coroutine.yield()
end

local function nearness(a, b)
    local ab, aa, bb = 0, 1e-20, 1e-20
    for i = 1, #a do
        ab, aa, bb = ab + a[i] * b[i], aa + a[i] * a[i], bb + b[i] * b[i]
    end
    return ab / math.sqrt(aa * bb)
end

local function react(felt, meaning)
    local best, most = nil, -2
    local worst_to_best = felt[#felt] - felt[1]
    for _, guest in ipairs(guests) do
        guest.cheer = math.max(-1, math.min(1, 0.6 * guest.cheer + worst_to_best))
        guest.says = nil
        for _, memory in ipairs(guest.knows) do
            local near = nearness(meaning, memory.meaning)
            if near > most then
                best, most = {guest = guest, says = memory[2]}, near
            end
        end
    end
    best.guest.says = best.says
end

local function understand(text)
    mood:begin(text)
    wait_for(mood)
    scores = mood:scores()
    mind:begin(text)
    wait_for(mind)
    react(scores, mind:vector())
end

local function say()
    if thought then
        return
    end
    spoken = spoken + 1
    line = lines[(spoken - 1) % #lines + 1]
    thought = coroutine.create(function() understand(line) end)
end

-- ---- the game ----

function love.load(args)
    frames, picture = tonumber(args[1] or "0"), args[2]
    for _, guest in ipairs(guests) do
        for _, memory in ipairs(guest.knows) do
            memory.meaning = mind:embed(memory[1])
        end
    end
end

function love.keypressed(key)
    if key == "space" then
        say()
    end
end

function love.update()
    frame = frame + 1
    if frames > 0 and frame % 60 == 10 then
        say()
    end
    if thought then
        local before = love.timer.getTime()
        assert(coroutine.resume(thought))
        longest, slices = math.max(longest, love.timer.getTime() - before), slices + 1
        if coroutine.status(thought) == "dead" then
            thought = nil
        end
    end
    love.timer.sleep(math.max(0, start + frame / 60 - love.timer.getTime()))
end

local function bubble(x, y, text, paper)
    local w = love.graphics.getFont():getWidth(text) + 14
    love.graphics.setColor(paper)
    love.graphics.rectangle("fill", x - w / 2, y, w, 22, 6)
    love.graphics.polygon("fill", x - 5, y + 21, x + 5, y + 21, x, y + 30)
    love.graphics.setColor(0.13, 0.12, 0.15)
    love.graphics.print(text, x - w / 2 + 7, y + 4)
end

local function draw_guest(guest)
    local x, y = guest.x, 220 + 3 * math.sin(frame / 20 + guest.x)
    love.graphics.setColor(guest.coat)
    love.graphics.rectangle("fill", x - 22, y, 44, 70, 10)
    love.graphics.setColor(0.91, 0.73, 0.56)
    love.graphics.circle("fill", x, y - 16, 18)
    love.graphics.setColor(0.2, 0.15, 0.12)
    love.graphics.circle("fill", x - 6, y - 18, 2)
    love.graphics.circle("fill", x + 6, y - 18, 2)
    love.graphics.setLineWidth(2)
    love.graphics.line(x - 7, y - 8 - 4 * guest.cheer, x, y - 8 + 2 * guest.cheer, x + 7, y - 8 - 4 * guest.cheer)
    if guest.says then
        bubble(x, y - 72, guest.says, {1, 0.97, 0.9})
    end
end

local function draw_room()
    love.graphics.clear(0.28, 0.20, 0.16)
    love.graphics.setColor(0.36, 0.26, 0.20)
    for x = 0, 640, 80 do
        love.graphics.rectangle("fill", x, 0, 76, 250)
    end
    love.graphics.setColor(0.20, 0.14, 0.11)
    love.graphics.rectangle("fill", 0, 250, 640, 110)
    for x = 230, 620, 170 do
        local glow = 0.85 + 0.1 * math.sin(frame / 7 + x)
        love.graphics.setColor(1, 0.8, 0.4, 0.18)
        love.graphics.circle("fill", x, 70, 44 * glow)
        love.graphics.setColor(1, 0.85, 0.5)
        love.graphics.circle("fill", x, 70, 7 * glow)
    end
end

local function draw_table()
    love.graphics.setColor(0.55, 0.37, 0.22)
    love.graphics.rectangle("fill", 30, 270, 580, 40, 6)
    love.graphics.setColor(0.95, 0.9, 0.8)
    for _, guest in ipairs(guests) do
        love.graphics.printf(guest.name, guest.x - 60, 284, 120, "center")
    end
    for x = 80, 580, 100 do
        love.graphics.setColor(0.85, 0.7, 0.3)
        love.graphics.rectangle("fill", x, 252, 16, 22, 3)
        love.graphics.setColor(1, 1, 0.95)
        love.graphics.rectangle("fill", x, 248, 16, 7, 3)
    end
end

function love.draw()
    draw_room()
    for _, guest in ipairs(guests) do
        draw_guest(guest)
    end
    draw_table()
    if line then
        bubble(320, 330, line, {0.8, 0.9, 1})
    end
    love.graphics.setColor(0.95, 0.9, 0.8)
    love.graphics.print(string.format("%d slices, the longest %.2f ms%s", slices, longest * 1000,
        thought and ", thinking ..." or ""), 8, 6)
    for i, score in ipairs(scores or {}) do
        if i > 4 then
            break
        end
        love.graphics.print(mood:label(i) or i, 8, 10 + 16 * i)
        love.graphics.rectangle("fill", 90, 14 + 16 * i, 80 * score, 8)
    end
    if frames > 0 and frame == frames then
        love.graphics.captureScreenshot(function(image)
            local file = assert(io.open(picture, "wb"))
            file:write(image:encode("png"):getString())
            file:close()
            print(string.format("%d frames, %d lines, %d slices, the longest %.3f ms", frame, spoken, slices,
                longest * 1000))
            love.event.quit()
        end)
    end
end
