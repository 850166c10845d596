// wrap_use.cs -- prints what wrap_use.c prints, through the wrappers for C#.
using System;
using System.Globalization;
using System.Linq;

static class WrapUse
{
    static string F(float x) { return ((double)x).ToString("F5", CultureInfo.InvariantCulture); }

    static void Texts()
    {
        using (var ctx = new WrapEmbed.Context())
        {
            float[] v = ctx.Embed("hello world");
            Console.WriteLine("embed " + string.Join(" ", v.Select(F)));
            int n = 0;
            ctx.Begin("hello world");
            while (!ctx.Step(1)) n++;
            Console.WriteLine("slices {0} {1}", n > 1 ? 1 : 0, ctx.Vector().SequenceEqual(v) ? 1 : 0);
        }
        using (var ctx = new WrapClass.Context(2))
        {
            float[] scores = ctx.Classify("paris is big");
            for (int i = 0; i < scores.Length; i++)
                Console.WriteLine("class {0} {1}", WrapClass.Context.Label(i), F(scores[i]));
        }
        using (var ctx = new WrapPair.Context())
            Console.WriteLine("pair " + string.Join(" ", ctx.Classify("fox", "a dog").Take(2).Select(F)));
        const string text = "  Naïve café — 東京 😀 x";
        using (var ctx = new WrapTag.Context())
            foreach (var s in ctx.Tag(text))
            {
                if (text.Substring(s.Begin, s.End - s.Begin) != s.Text) throw new Exception(s.Text);
                Console.WriteLine("tag {0} {1} {2} [{3}]", s.Name, F(s.Score), s.Label, s.Text);
            }
        using (var ctx = new WrapAnswer.Context())
        {
            var s = ctx.Answer("who ?", "  Naïve café 東京 😀 don't state");
            Console.WriteLine("answer {0} [{1}]", F(s.Score), s.Text);
        }
        using (var ctx = new WrapFill.Context())
        {
            foreach (var w in ctx.Fill("the [MASK] fox"))
                Console.WriteLine("fill {0} {1} [{2}]", w.Id, F(w.Score), w.Text);
            try { ctx.Fill("no"); }
            catch (WrapFill.ModelException e) { Console.WriteLine("error {0}", e.Status); }
        }
    }

    static void State()
    {
        using (var ctx = new WrapState.Context())
        {
            var x = new float[32];
            byte[] state = null;
            for (int i = 0; i < 32; i++) x[i] = i / 32f;
            ctx.Bind("x", x, 2, 16);
            for (int i = 0; i < 3; i++)
            {
                long[] none, dims;
                ctx.Run();
                float total = ctx.Result<float>("total", out none)[0];
                float[] y = ctx.Result<float>("y", out dims);
                Console.WriteLine("total {0} {1} {2}x{3}", F(total), F(y[31]), dims[0], dims[1]);
                if (i == 0) state = ctx.Save();
                if (i == 1) ctx.Load(state);
            }
        }
    }

    static void Main()
    {
        Console.OutputEncoding = new System.Text.UTF8Encoding(false);
        Texts();
        State();
    }
}
