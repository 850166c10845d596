function love.conf(t)
    t.identity = "sinter-tavern"
    t.window.title = "tavern"
    t.window.width, t.window.height = 640, 360
    t.window.vsync = 0
    t.modules.audio, t.modules.sound, t.modules.joystick, t.modules.physics, t.modules.video = false, false, false, false, false
end
