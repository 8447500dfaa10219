"""The bank of what people and assistants say: text of our own about everyday things, in Chinese and English.

Names no person, company or product. `prose.py` puts it together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Phrases:
    """What one language says whatever the area."""

    between: str
    quoted: str
    unnamed: str
    greetings: tuple[str, ...]
    openers: tuple[str, ...]
    list_leads: tuple[str, ...]
    closers: tuple[str, ...]
    titles: tuple[str, ...]
    title_around: str
    bare_titles: tuple[str, ...]
    greeting_titles: tuple[str, ...]
    follow_ups_on: tuple[str, ...]
    follow_ups: tuple[str, ...]
    about_an_item: str
    lead_ins: tuple[str, ...]
    transcripts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """What is said about one part of life; an answer's sentences fit any question in it."""

    signs: tuple[str, ...]
    questions: tuple[str, ...]
    advice: tuple[str, ...]
    items: tuple[str, ...]


def _each(words: str, between: str | None = None) -> tuple[str, ...]:
    """Give the words of a line: a table of words is read more easily without quotes and commas."""
    return tuple(words.split(between))


GREETINGS = frozenset(
    _each(
        "hi|hello|hey|hi there|hello there|hey there|good morning|good afternoon|good evening|good day|"
        "greetings|hello assistant|hi assistant|hello world|hi hello|how are you|hello how are you|"
        "hi how are you|你好|您好|你好呀|你好啊|嗨|哈喽|哈啰|早|早上好|上午好|中午好|下午好|晚上好|"
        "大家好|在吗|你好 在吗|您好 在吗|喂|你好 很高兴认识你|hello 你好|hi 你好",
        "|",
    )
)

# Words that say how something is asked, not what it is about.
ENGLISH_FILLERS = frozenset(
    _each(
        "a about again all also am an and any anyone anything are as ask at be because been before being "
        "best better but by can can't check could describe did do does doing don't easily exactly "
        "explain find first for from get give go good got had has have having hello help helpful her "
        "here hey hi him his how how's i i'd i'll i'm i've idea ideas if in instead into is it it's its "
        "just keep know let let's like list make makes making many may maybe me might more most much "
        "must my need next no not now of ok okay on one or our out please possible quick quickly quite "
        "really recommend say sensible shall she should show simple so some someone something sort start "
        "still such suggest sure take tell than thank thanks that that's the their them then there these "
        "they thing things think this those though to today too try two under until up us use using very "
        "want was way ways we well were what what's when where wherever whether which while who whom "
        "whose why will with without wonder wondering words worth would write yes you you're your"
    )
)

# The same at either end of a Chinese clause.
CHINESE_FILLERS = re.compile(
    "^(?:请问一下|请问|请教一下|麻烦你|麻烦|请你|请|能不能|能否|可以|可不可以|能(?=推荐|给|用|帮)|帮我|帮忙|给我|告诉我|"
    "我想知道|我想问|我想要|我想|我要|我在|我们|我|你好|您好|你自己|你能|你|那么|那|还有|另外|有没有|有哪些|有什么|"
    "什么是|什么|怎么样|怎么做|怎么才能|怎么|怎样才能|怎样|如何|为什么|为啥|才能|哪些|哪个|哪里|推荐几个|推荐一些|"
    "推荐一条|推荐一下|推荐|介绍一下|介绍|用简单的话|解释一下|解释|说说|谈谈|讲讲|讲一下|写一篇|写一个|写一封|写一首|"
    "写个|写|用一句话|一下|应该|该|把|关于)"
    "|(?:吗|呢|吧|呀|啊|么|的|了|什么|怎么办|怎么做|怎么样|怎么安排|怎么写|怎么选|怎么挑|怎样|如何|是什么意思|是什么|"
    "是谁|有哪些|有什么|比较好|更好|应该|谢谢|一下)$"
)

SLOTS: Mapping[Language, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "city": ("Lisbon", "Kyoto", "Vienna", "Montreal", "Edinburgh", "Seville", "Bergen"),
        "season": ("spring", "early summer", "autumn", "winter"),
        "days": ("two", "three", "four", "five"),
        "guests": ("four", "six", "eight"),
    },
    "zh": {
        "city": ("杭州", "成都", "西安", "青岛", "昆明", "苏州", "厦门"),
        "season": ("春天", "初夏", "秋天", "冬天"),
        "days": ("两", "三", "四", "五"),
        "guests": ("四", "六", "八"),
    },
}

PHRASES: Mapping[Language, Phrases] = {
    "en": Phrases(
        between=" ",
        quoted='"{topic}"',
        unnamed="this",
        greetings=(
            "Hello! What would you like to look at today?",
            "Hi there! Tell me what is on your mind and we can go through it together.",
            "Hello, nice to hear from you. What can I do for you?",
            "Hi! I am ready when you are: a question, a draft, a plan, whatever you have.",
        ),
        openers=(
            "Happy to help with {topic}: a clear first step is worth more than a perfect plan.",
            "For {topic}, I would settle the fixed points first and fill in the rest later.",
            "A good way into {topic} is to decide early what matters most to you.",
            "There are several sensible ways to go about {topic}, and most of them start alike.",
            "With {topic}, a little preparation at the beginning saves a lot of effort later.",
            "Here is how I would think about {topic}, from the simplest step to the last detail.",
        ),
        list_leads=(
            "For {topic}, three things make the biggest difference in practice:",
            "Here is a short list to get you going with {topic}:",
            "I would break {topic} down into three small steps that build on each other:",
        ),
        closers=(
            "If you tell me a little more, I can make this more specific.",
            "Would you like me to turn this into a step-by-step plan?",
            "Let me know which part matters most and we can go deeper there.",
            "I can also sketch an example if that would make it clearer.",
            "Try it once in a small way, then adjust what did not work.",
        ),
        titles=("{topic}", "{topic}", "{topic}: an overview", "{topic}: tips", "{topic}: first steps"),
        title_around="{topic}",
        bare_titles=("New conversation", "A quick question", "An open question"),
        greeting_titles=("A friendly greeting", "Saying hello", "A first hello"),
        follow_ups_on=(
            "Can you give me a concrete example for {topic}?",
            "What are the most common mistakes with {topic}?",
            "How much time should I plan for {topic}?",
            "Can you turn {topic} into a checklist?",
        ),
        follow_ups=(
            "What would you do first?",
            "Is there a simpler way to go about it?",
            "What should I pay attention to later on?",
            "Could you explain the second point in more detail?",
            "How do I know that it went well?",
            "What can I leave out if time is short?",
        ),
        about_an_item="Can you say more about {topic}?",
        lead_ins=(
            "Hi!",
            "Hello, I hope you can help me.",
            "Good morning, a quick one for you.",
            "I have been putting this off for a while.",
            "I am new to this, so please keep it simple.",
            "My sister and I were talking about this yesterday.",
        ),
        transcripts=(
            "Could you tell me what the weather will be like in {city} this weekend?",
            "Please remind me to water the plants on Thursday evening.",
            "I would like to book a table for {guests} people at seven o'clock.",
            "Let's move the meeting to Tuesday morning and invite the whole team.",
            "How long does it take to get from the station to the old town on foot?",
            "Add milk, tomatoes and a loaf of bread to the shopping list.",
            "I'm thinking about spending {days} days in {city} in {season}.",
            "What is a good way to start learning the guitar as an adult?",
        ),
    ),
    "zh": Phrases(
        between="",
        quoted="“{topic}”",
        unnamed="这个问题",
        greetings=(
            "你好！今天想聊点什么？",
            "你好，很高兴见到你。有什么问题都可以告诉我，我们一起来看看。",
            "您好！请问有什么可以帮您的？",
            "嗨！不管是问题、草稿还是计划，都可以直接发给我。",
        ),
        openers=(
            "关于{topic}，我建议先把最重要的几点确定下来，再慢慢补充细节。",
            "说到{topic}，其实不用一开始就追求完美，先迈出第一步更重要。",
            "{topic}可以分成几个小步骤来看，这样每一步都会清楚很多。",
            "对于{topic}，前期多花一点时间准备，后面就能省下不少力气。",
            "就{topic}来说，常见的做法有好几种，开头的思路大致是相同的。",
        ),
        list_leads=(
            "关于{topic}，下面这三点在实际中最有帮助，可以按顺序来做：",
            "如果想尽快着手处理{topic}，可以先从这份简短的清单开始：",
            "我会把{topic}拆成三个小步骤，后一步建立在前一步的基础上：",
        ),
        closers=(
            "如果你能再补充一些具体情况，我可以说得更有针对性。",
            "需要的话，我可以帮你整理成一份一步一步的计划。",
            "告诉我你最关心的是哪一部分，我们可以就那里展开来谈。",
            "如果觉得还不够清楚，我也可以再举一个简单的例子。",
            "不妨先小范围试一次，再把不合适的地方慢慢调整过来。",
        ),
        titles=("{topic}", "{topic}", "关于{topic}", "{topic}的建议", "{topic}的思路"),
        title_around="关于{topic}",
        bare_titles=("新的对话", "一个小问题", "随便聊聊"),
        greeting_titles=("问候", "打个招呼", "初次问好"),
        follow_ups_on=(
            "关于{topic}，能举一个具体的例子吗？",
            "{topic}最常见的误区有哪些？",
            "{topic}大概需要准备多长时间？",
            "可以把{topic}整理成一份清单吗？",
        ),
        follow_ups=(
            "第一步应该先做什么？",
            "有没有更简单的办法？",
            "之后还需要注意些什么？",
            "第二点能再说得详细一些吗？",
            "怎么判断做得好不好？",
            "如果时间不够，哪些可以省略？",
        ),
        about_an_item="能再详细说说{topic}吗？",
        lead_ins=(
            "你好！",
            "您好，想请教一个问题。",
            "这件事我拖了很久了。",
            "我是新手，请尽量说得简单一点。",
            "昨天和家里人聊到这个话题。",
            "打扰一下，问一个小问题。",
        ),
        transcripts=(
            "请问这个周末{city}的天气怎么样？",
            "麻烦提醒我周四晚上给阳台的花浇水。",
            "我想预订今晚七点{guests}个人的位子。",
            "我们把会议改到周二上午吧，请大家都参加。",
            "从火车站走到老城区大概要多长时间？",
            "购物清单里再加上牛奶、西红柿和一袋面包。",
            "我打算{season}去{city}玩{days}天，想先看看路线。",
            "成年人从零开始学吉他，有什么好的方法吗？",
        ),
    ),
}

AREAS: Mapping[Language, tuple[Area, ...]] = {
    "en": (
        Area(
            signs=_each(
                "travel trip journey visit pack packing luggage train flight hotel city weekend holiday "
                "vacation days tour map ticket museum airport station lisbon kyoto vienna montreal "
                "edinburgh seville bergen"
            ),
            questions=(
                "What should I pack for {days} days in {city} in {season}?",
                "Can you suggest a relaxed route for a weekend in {city} without a car?",
                "Is it better to travel by night train or to fly early in the morning?",
            ),
            advice=(
                "Book the way there and the first night early, and leave the days in between open.",
                "Two sights a day are plenty if you also want time to sit down and look around.",
                "Layers work better than one thick coat, because mornings are often cooler.",
                "Local day tickets usually pay off from the third ride on.",
                "Keep a copy of your papers apart from the originals.",
            ),
            items=(
                "Check opening hours before you go",
                "Stay close to a tram or metro stop",
                "Keep one afternoon free for rain",
                "Pack comfortable shoes you know well",
            ),
        ),
        Area(
            signs=_each(
                "cook cooking recipe dinner lunch breakfast soup bread dough rice vegetables sauce oven "
                "bake baking dish meal kitchen ingredients salt spices noodles cake"
            ),
            questions=(
                "How do I cook a vegetable soup for {guests} people in under an hour?",
                "Why does my bread dough stay flat although I let it rest overnight?",
                "What can I make for dinner with rice, two eggs and a few carrots?",
            ),
            advice=(
                "Salt a little at every stage instead of all at once at the end.",
                "Give the onions ten quiet minutes, since most of the flavour comes from there.",
                "A heavy pan keeps the heat steady, so nothing burns while you prepare the rest.",
                "Taste before serving and add a few drops of lemon if it seems flat.",
                "Dough needs warmth and patience more than it needs extra yeast.",
            ),
            items=(
                "Prepare everything before the heat is on",
                "Start with what takes the longest",
                "Season lightly and taste often",
                "Let it rest for five minutes at the end",
            ),
        ),
        Area(
            signs=_each(
                "code program programming function bug error list loop file json csv sql query database "
                "test tests script regex api class variable server string array python javascript"
            ),
            questions=(
                "How do I remove duplicates from a list while keeping the order?",
                "How do I read a large CSV file without loading all of it into memory?",
                "Can you explain when a database query uses an index?",
            ),
            advice=(
                "Begin with the smallest input that shows the behaviour and write it down as a test.",
                "Read the file line by line, so that memory use does not grow with its size.",
                "Keep a set of what you have seen next to the result, and the order takes care of itself.",
                "Give each function one job and a name that says what comes out.",
                "Measure before you optimise, because the slow part is rarely where one expects it.",
            ),
            items=(
                "Reproduce it with a tiny example",
                "Write the expected result as a test",
                "Change one thing at a time",
                "Check the edge cases: empty, one, many",
            ),
        ),
        Area(
            signs=_each(
                "work job meeting email colleague colleagues team report project deadline manager office "
                "interview customer presentation slides notes minutes"
            ),
            questions=(
                "How do I write a polite email that asks a colleague for a late report?",
                "What should go on the first slide of a project presentation?",
                "How do I keep a weekly team meeting under thirty minutes?",
            ),
            advice=(
                "Say in the first line what you need and by when, then give the reason.",
                "A shared note with three open points keeps everybody on the same page.",
                "Offer a small choice of dates instead of asking an open question.",
                "End with who does what next, even if it seems obvious to all.",
                "Short and friendly is read sooner than long and complete.",
            ),
            items=(
                "Name the goal in one sentence",
                "Send the agenda a day before",
                "Stop five minutes early for decisions",
                "Write down who does what by when",
            ),
        ),
        Area(
            signs=_each(
                "sleep walk walking stretch stretching exercise routine habit desk sitting water rest "
                "morning breaks posture screen"
            ),
            questions=(
                "How can I fit a short walk into a day at the desk?",
                "What makes a calm evening routine without a screen?",
            ),
            advice=(
                "Tie the new habit to something you do anyway, such as the first cup of tea.",
                "Ten minutes every day are easier to keep up than one long hour on Sunday.",
                "Put what you need in sight the evening before, and the start becomes easy.",
                "Miss a day without worry and simply go on with the next one.",
            ),
            items=(
                "Pick one fixed time of the day",
                "Start with five minutes only",
                "Mark each day on a paper calendar",
                "Take the stairs and the longer way home",
            ),
        ),
        Area(
            signs=_each(
                "buy buying shop shopping price cheap gift present order size budget laptop bike shoes "
                "chair lamp used second-hand compare"
            ),
            questions=(
                "What should I check before I buy a used bike?",
                "Can you suggest a small gift for a neighbour who likes gardening?",
                "How do I choose an office chair on a small budget?",
            ),
            advice=(
                "Write down the three things it must do before you look at any price.",
                "Ask how returns work, since that tells a lot about the seller.",
                "A simple model that can be repaired often lasts longer than a clever one.",
                "Try it for a few minutes in person if there is any chance to do so.",
                "Compare the total with delivery and spare parts, not only the first number.",
            ),
            items=(
                "Set a limit before you look around",
                "Check the parts that wear out first",
                "Compare at least three offers",
                "Keep the receipt and the box for a month",
            ),
        ),
        Area(
            signs=_each(
                "learn learning study language words vocabulary exam course book read reading practice "
                "guitar piano maths history lesson remember homework explain sky"
            ),
            questions=(
                "How do I remember new words when I learn a language in the evening?",
                "What is a good order for learning the guitar as an adult?",
                "Can you explain in simple words why the sky is blue and the evening red?",
            ),
            advice=(
                "Short sessions on most days beat a long one at the weekend.",
                "Explain what you have just learned in your own words, aloud if possible.",
                "Mix old and new material, so that the old comes back before it fades.",
                "Choose a small goal that you can show to somebody in two weeks.",
                "Examples first and rules second is the easier order for most people.",
            ),
            items=(
                "Review yesterday's notes for five minutes",
                "Practise the hard part slowly",
                "Use each new thing in a sentence or a piece",
                "Test yourself without looking",
            ),
        ),
        Area(
            signs=(),
            questions=(),
            advice=(
                "Write down what you know already, and the open points become visible.",
                "Take the part you are most sure about first and build on it.",
                "It often helps to look at one concrete case before the general rule.",
                "Set yourself a small limit of time, then look at what you have.",
                "Ask what would change your mind, and check that point early.",
            ),
            items=(
                "Write the goal in one sentence",
                "Collect what you already have",
                "Choose the smallest useful step",
                "Look back after a week",
            ),
        ),
    ),
    "zh": (
        Area(
            signs=_each(
                "旅行 旅游 行李 火车 高铁 飞机 酒店 景点 路线 周末 城市 门票 自驾 出差 杭州 成都 西安 "
                "青岛 昆明 苏州 厦门"
            ),
            questions=(
                "{season}去{city}玩{days}天，行李应该带些什么？",
                "能推荐一条不用开车的{city}周末路线吗？",
                "坐夜里的火车和早上的飞机，哪个更合适？",
            ),
            advice=(
                "往返的车票和第一晚的住处最好提前订好，中间的日子可以留得宽松一些。",
                "一天安排两个景点就足够了，这样还有时间坐下来慢慢看看。",
                "早晚温差往往比较大，多带几件薄衣服比带一件厚外套更方便。",
                "出发前查一下各处的开放时间，可以避免白跑一趟。",
                "证件的复印件最好和原件分开存放，这样比较安心。",
            ),
            items=("提前确认开放时间", "住在地铁站附近", "留出一个下午应对下雨", "穿一双合脚的旧鞋"),
        ),
        Area(
            signs=_each("做饭 做菜 菜 汤 面条 面团 米饭 鸡蛋 早餐 午饭 晚饭 烤 炒 炖 调料 厨房 食材 蛋糕"),
            questions=(
                "做一锅{guests}个人喝的蔬菜汤要准备哪些食材？",
                "番茄炒鸡蛋怎么做才不会出太多水？",
                "面团放了一夜还是没有发起来，是什么原因？",
            ),
            advice=(
                "盐最好分几次放，每次少放一点，不要等到最后一起加。",
                "葱姜先用小火慢慢炒香，味道大半都是从这里来的。",
                "选一口厚一点的锅，火候会更稳，也不容易糊底。",
                "出锅之前先尝一口，觉得淡的话再加几滴醋提味。",
                "发面最需要的是温度和耐心，而不是更多的酵母。",
            ),
            items=("开火前备好所有食材", "先做最费时间的一道", "少量多次地调味", "出锅后静置五分钟"),
        ),
        Area(
            signs=_each("代码 程序 编程 函数 报错 列表 循环 文件 数据库 查询 索引 测试 脚本 接口 变量 json csv sql"),
            questions=(
                "怎么去掉列表里的重复元素，同时保持原来的顺序？",
                "读取很大的 CSV 文件时，怎样才不会占满内存？",
                "数据库查询在什么情况下会用到索引？",
            ),
            advice=(
                "先找出能重现现象的最小输入，并把它写成一个测试。",
                "按行读取文件，这样内存占用就不会随着文件变大而增长。",
                "用一个集合记录已经出现过的元素，结果的顺序自然就保留了。",
                "每个函数只做一件事，名字直接说明它返回什么。",
                "优化之前先测量一下，真正慢的地方往往出人意料。",
            ),
            items=("用最小的例子重现", "把期望结果写成测试", "一次只改一个地方", "检查空值和边界情况"),
        ),
        Area(
            signs=_each("工作 会议 邮件 同事 团队 报告 项目 截止 经理 办公 面试 客户 演示 周报 总结"),
            questions=(
                "怎么写一封礼貌的邮件，请同事补交报告？",
                "项目演示的第一页应该放什么内容？",
                "怎样把每周的会议控制在半小时以内？",
            ),
            advice=(
                "第一句话就说明需要什么、什么时候要，然后再解释原因。",
                "准备一份共享的记录，把没有解决的三个问题写在最前面。",
                "给对方两三个时间选择，比直接问什么时候有空更容易得到答复。",
                "结束的时候说清楚谁来做什么，即使大家都觉得很明显。",
                "简短友好的文字，往往比又长又全的文字更早被人看到。",
            ),
            items=("用一句话说明目标", "提前一天发出议程", "留五分钟做决定", "写清楚谁在何时完成什么"),
        ),
        Area(
            signs=_each("睡 散步 走路 拉伸 锻炼 运动 习惯 久坐 喝水 休息 早起 作息"),
            questions=(
                "每天久坐办公，怎么安排一点散步的时间？",
                "睡前一小时不看手机，可以做些什么？",
            ),
            advice=(
                "把新习惯和本来就要做的事情放在一起，比如早上的第一杯茶。",
                "每天坚持十分钟，比周末一次做一个小时更容易保持下去。",
                "前一天晚上把要用的东西放在看得见的地方，开始就容易多了。",
                "偶尔中断一天也没有关系，第二天接着做就好。",
            ),
            items=("选定一个固定的时间", "先从五分钟开始", "在日历上做记号", "回家时多走一站路"),
        ),
        Area(
            signs=_each("买 购物 价格 便宜 礼物 订单 尺码 退货 预算 电脑 自行车 鞋 椅 台灯 二手 对比"),
            questions=(
                "买二手自行车之前应该检查哪些地方？",
                "邻居喜欢种花，送什么小礼物比较合适？",
                "预算有限，一把坐着舒服的办公椅怎么挑？",
            ),
            advice=(
                "看价格之前，先写下三个必须满足的要求。",
                "提前问清楚退换的规则，从这里也能看出卖家是否可靠。",
                "结构简单、方便维修的款式，往往比功能繁多的更耐用。",
                "如果有机会，最好当面试用几分钟再决定。",
                "比较的时候要把运费和配件一起算进去，不要只看标价。",
            ),
            items=("先定好预算上限", "检查最容易磨损的部件", "至少比较三家", "收据和包装保留一个月"),
        ),
        Area(
            signs=_each("学习 学 语言 单词 考试 课程 书 阅读 练习 吉他 钢琴 数学 历史 作业 复习 解释 天空"),
            questions=(
                "晚上学外语，怎么才能记住新单词？",
                "成年人学吉他，按什么顺序练习比较好？",
                "能用简单的话解释一下天空为什么是蓝色的吗？",
            ),
            advice=(
                "每天学一小会儿，效果往往比周末集中学半天更好。",
                "用自己的话把刚学到的内容讲一遍，最好能够说出声来。",
                "新旧内容穿插着复习，旧的知识就不容易忘掉。",
                "定一个两周之内可以展示给别人的小目标。",
                "先看例子再看规则，对大多数人来说会更容易理解。",
            ),
            items=("花五分钟回顾昨天的笔记", "把难的部分放慢练", "用新词造一个句子", "合上书自己考自己"),
        ),
        Area(
            signs=(),
            questions=(),
            advice=(
                "先把已经知道的内容写下来，剩下的疑问就会变得清楚。",
                "从最有把握的部分开始，再一步一步地往外扩展。",
                "与其先看一般规律，不如先看一个具体的例子。",
                "给自己定一个小小的时间限制，到时再看看进展如何。",
                "想一想什么情况会改变你的看法，并尽早去确认它。",
            ),
            items=("用一句话写下目标", "整理手头已有的材料", "选一个最小的步骤", "一周之后再回头看看"),
        ),
    ),
}
