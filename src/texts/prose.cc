#include "texts/prose.h"

#include <array>
#include <numeric>
#include <utility>

namespace damask::texts {
namespace {

// Written for this program. Sentences are as independent of their neighbours as a text allows, so that a fact can stand between
// any two of them; there are no digits, so that none looks like a value.
constexpr auto kParagraphs = std::to_array<std::string_view>({
    "A river begins as many small streams that meet on their way down from the hills. "
    "It carries sand and gravel as long as the water is fast. "
    "Where the land turns flat the water slows and drops what it carries. "
    "In this way a valley is filled over thousands of years with soil that is good for farming.",

    "Bread is one of the oldest prepared foods. "
    "Flour and water are mixed into a dough, and yeast fills the dough with gas. "
    "The heat of the oven sets the crumb and browns the crust. "
    "A loaf that cools slowly keeps its crust better than one that is wrapped while hot.",

    "Lighthouses were built where ships could not see the danger in time. "
    "At first a keeper lit an open fire on a tower every evening. "
    "Later a lamp stood behind a large lens that gathered the light into a narrow beam. "
    "Each tower had its own rhythm of flashes, so that sailors could tell one from another.",

    "Honey bees live in colonies with a single queen. "
    "The workers collect nectar and pollen and build the comb out of wax. "
    "A bee that has found a rich field dances on the comb to tell the others where it lies. "
    "In winter the colony forms a cluster and keeps itself warm by shivering.",

    "Glass is made by melting sand together with soda and lime. "
    "It has no regular crystals, so it softens slowly instead of melting at one point. "
    "A worker can blow it, pull it or press it into a mould while it is soft. "
    "If it cools too quickly it cracks, and for this reason finished pieces rest in a warm oven overnight.",

    "The first maps showed roads and rivers rather than distances. "
    "A traveller needed to know which town came next, not how far away the sea was. "
    "Surveyors later measured the land with chains and angles. "
    "Their triangles covered whole countries and made the maps exact.",

    "Volcanoes stand mostly along the edges of the great plates of the crust. "
    "Hot rock rises from below and gathers in a chamber under the mountain. "
    "If the melt is thin it flows out quietly, and if it is thick it explodes. "
    "The ash that falls around the mountain becomes fertile ground after some years.",

    "A library needs an order that readers can understand. "
    "In the past books were sorted by size, because shelves were expensive. "
    "Today most shelves follow the subject, and within the subject the name of the author. "
    "A book that stands in the wrong place is lost almost as surely as one that was stolen.",

    "Wool is warm because its fibres hold a great deal of still air. "
    "Sheep are shorn in spring, before the hot months come. "
    "The fleece is washed, combed and spun into yarn. "
    "Felt is made without spinning at all, only with water, soap and pressure.",

    "The violin has four strings and a hollow body of thin wood. "
    "The player moves a bow of horse hair over the strings. "
    "A small post inside the body carries the vibration from the front to the back. "
    "Old instruments are valued for their sound, though listeners often cannot tell them from new ones.",

    "Tides rise and fall because the moon pulls on the oceans. "
    "The sun pulls as well, but its effect is only about half as strong. "
    "When both pull in one line the tides are high, and when they pull at right angles the tides are low. "
    "The shape of a bay can make a small tide very large.",

    "Paper came to Europe from the east many centuries after it was invented. "
    "Before that people wrote on skins, which were costly and slow to prepare. "
    "Early mills made paper from rags that were beaten to a pulp. "
    "Wood took the place of rags when the newspapers needed more than the rag men could bring.",

    "A good bicycle wastes very little of the rider's effort. "
    "The chain drives the rear wheel, and the gears match the force to the slope. "
    "Air in the tyres smooths the small bumps of the road. "
    "On flat ground a cyclist needs about a fifth of the energy of someone who walks.",

    "Forests are made of more than trees. "
    "Below the ground fine threads of fungus connect the roots and trade minerals for sugar. "
    "Fallen trunks feed beetles and mosses for decades. "
    "Where all dead wood is cleared away many birds disappear as well.",

    "Salt was once so precious that cities grew rich by selling it. "
    "It was boiled from springs, cut from mines or dried in flat ponds beside the sea. "
    "Fish and meat could be kept through the winter only with its help. "
    "Old trade roads still bear its name in several languages.",

    "The eye of an eagle sees far more detail than that of a man. "
    "From a great height the bird can pick out a hare in the grass. "
    "Its two eyes look forward and to the side at the same time. "
    "Young eagles need several years to learn how to hunt with success.",

    "Bridges carry their load in only a few ways. "
    "A beam bends, an arch presses against its ends, and a cable pulls. "
    "Stone is strong when it is pressed and weak when it is pulled, so the Romans built arches. "
    "Steel allowed engineers to hang long roads from slender towers.",

    "Coffee grows on small trees in warm countries. "
    "The fruit looks like a red cherry and holds two green seeds. "
    "Roasting turns the seeds brown and gives them their taste. "
    "How finely they are ground decides how fast the water can draw the flavour out.",

    "The alphabet has few letters, yet it can write every word of a language. "
    "Earlier scripts used hundreds of signs for things and syllables. "
    "Traders who kept many accounts liked the shorter system. "
    "From their ports it spread along the coasts and changed its shape in every country.",

    "Snow protects the ground beneath it from hard frost. "
    "Fresh snow is mostly air, and air conducts heat badly. "
    "Mice dig long tunnels under the white cover and stay active all winter. "
    "When the snow melts in spring their paths can be seen in the flattened grass.",

    "A clock needs something that repeats in equal time. "
    "The pendulum was the first device that did so well enough for science. "
    "Its period depends on its length and hardly at all on the width of the swing. "
    "At sea the pendulum failed, and makers turned to springs and balance wheels.",

    "Potatoes were brought across the ocean as a curiosity. "
    "For a long time they were grown in gardens for their flowers. "
    "They yield more food from a field than grain does, and they survive under the ground when armies pass. "
    "By the next century whole regions lived on them.",

    "Whales breathe air and must come to the surface. "
    "Their ancestors walked on land and returned to the water step by step. "
    "Some species feed on shrimps that they sieve out of the sea. "
    "Others hunt in the dark of the deep water and find their prey by sound.",

    "A market brings together people who do not know each other. "
    "The buyer wants a low price and the seller wants a high one. "
    "When many of both are present the price settles where as much is offered as is asked for. "
    "Rules about weights and measures are among the oldest laws we have.",

    "Concrete is a mixture of cement, sand, gravel and water. "
    "It does not dry but hardens by a chemical reaction that goes on for months. "
    "Bars of steel inside it take up the tension. "
    "A dome in an old capital has stood for nearly two thousand years without any such bars.",

    "Gardens in dry lands are often built around water. "
    "A narrow channel cools the air and gives a quiet sound. "
    "Walls keep out the wind and the dust of the street. "
    "Fruit trees stand in low beds so that each drop reaches their roots.",

    "The telescope was first sold as a toy for watching ships. "
    "Soon a teacher turned one to the sky and saw mountains on the moon. "
    "Mirrors replaced lenses because a mirror can be supported from behind. "
    "Modern instruments correct the trembling of the air many times each second.",

    "Cheese is a way to keep milk for a long time. "
    "Rennet makes the milk set, and the curd is cut so that the whey runs off. "
    "The smaller the pieces are cut, the drier and harder the cheese will be. "
    "Moulds and bacteria give each kind its own character in the cellar.",

    "Deserts are not always hot. "
    "What makes a desert is the lack of rain, and some of the driest places are covered with ice. "
    "Plants there store water in thick leaves or wait as seeds for a wet year. "
    "After a single storm the ground may be full of flowers for a week.",

    "The steam engine was invented to pump water out of mines. "
    "It burned so much coal that it could only work beside the pit. "
    "A separate chamber for cooling the steam cut the fuel to a third. "
    "With that change engines moved into mills, onto rails and at last onto ships.",

    "Children learn to speak without being taught rules. "
    "They listen for months before the first word comes. "
    "Mistakes such as regular endings on irregular verbs show that they have found a pattern. "
    "Those who grow up with two languages keep them apart very early.",

    "Coins spread quickly once they had been invented. "
    "A stamp on the metal told everyone that the weight was right. "
    "Rulers found that they could put their face on it and less silver in it. "
    "Merchants answered by weighing the coins again.",

    "Sharks have a skeleton of cartilage in place of bone. "
    "Their skin is covered with tiny teeth that reduce the drag of the water. "
    "They can sense the weak electric field of a fish that hides in the sand. "
    "Most species are small and harmless to people.",

    "A theatre is built for hearing as much as for seeing. "
    "The stone steps of ancient theatres reflect the voices and swallow the murmur of the crowd. "
    "Later houses were lined with wood and velvet to soften the echo. "
    "The best seats are seldom the most expensive ones.",

    "Rice is often grown in flooded fields. "
    "The water keeps weeds down and brings nutrients with it. "
    "Seedlings are raised in a small bed and planted out by hand. "
    "On steep slopes farmers have cut terraces that follow the hill like the lines of a map.",

    "Ice is lighter than water, and so it swims. "
    "If it were heavier, lakes would freeze from the bottom and few fish would live through the winter. "
    "A thin layer grows quickly, but a thick one grows slowly because it shields the water below. "
    "People once cut blocks from ponds and sold them in distant ports.",

    "The printing press joined several older inventions. "
    "Screws came from the wine makers, ink from the painters and metal letters from the goldsmiths. "
    "A page that had taken a scribe a day could now be printed in minutes. "
    "Errors were also copied faster than before.",

    "Cats sleep for the greater part of the day. "
    "They hunt mainly at dawn and in the evening, when mice are about. "
    "Their whiskers tell them whether a gap is wide enough. "
    "A cat that falls turns in the air and usually lands on its feet.",

    "Canals made it possible to move heavy goods before there were railways. "
    "One horse can pull fifty times as much on water as on a road. "
    "Locks lift the boats over hills as if on a staircase. "
    "Many old canals are now used by holiday makers and herons.",

    "Wind turns the blades of a mill because they stand at an angle to it. "
    "The oldest mills had to be built facing the usual wind. "
    "Later the whole cap could be turned, first by hand and then by a small wheel at the back. "
    "Towers grew taller because the wind is stronger and steadier high above the ground.",

    "A city wall was expensive to build and to keep. "
    "When cannons came, tall walls fell quickly and low thick ones took their place. "
    "In peaceful times the towns outgrew their walls and pulled them down. "
    "Ring roads and parks often show where they once stood.",

    "Dyes were taken from plants, shells and insects. "
    "Blue came from leaves that had to ferment in large vats. "
    "Purple needed thousands of snails for a single coat and was kept for kings. "
    "A student who looked for a medicine found the first artificial colour by accident.",

    "Birds that travel far fly by night as well as by day. "
    "They read the stars, the sun and the field of the earth. "
    "Young ones of some kinds make their first journey without their parents. "
    "Bad weather on the way can bring them down in places where nobody expects them.",

    "Schools in older times taught by repetition. "
    "Pupils wrote on slates because paper was too dear to waste. "
    "The older ones helped to teach the younger ones in the same room. "
    "A single teacher could be responsible for a whole village.",

    "The heart pumps blood through two loops. "
    "One goes to the lungs and the other to the rest of the body. "
    "Valves keep the flow in one direction and make the sound that a doctor hears. "
    "A trained runner has a slow pulse because each beat moves more blood.",

    "Sugar from beets was at first a matter of war. "
    "When the ports were closed, a cheap root was found to hold the same sweet crystals as the cane. "
    "Farmers learned to choose the richest plants for seed. "
    "Within a lifetime the harvest doubled its sugar.",
});

}  // namespace

std::span<const std::string_view> ProseParagraphs() { return kParagraphs; }

ProseReader::ProseReader(uint64_t seed) : random_(seed), order_(kParagraphs.size()), next_(kParagraphs.size()) {
  std::iota(order_.begin(), order_.end(), size_t{0});
}

std::string_view ProseReader::NextParagraph() {
  if (next_ == order_.size()) {
    random_.Shuffle(&order_);
    next_ = 0;
  }
  return kParagraphs[order_[next_++]];
}

ProseSentence ProseReader::Next() {
  if (rest_.empty()) rest_ = NextParagraph();
  const size_t stop = rest_.find(". ");
  if (stop == std::string_view::npos) return {std::exchange(rest_, {}), true};
  const std::string_view sentence = rest_.substr(0, stop + 1);
  rest_.remove_prefix(stop + 2);
  return {sentence, false};
}

std::string Prose(size_t characters, uint64_t seed) {
  std::string text;
  ProseReader reader(seed);
  for (bool whole = true; text.size() < characters || !whole;) {
    const ProseSentence sentence = reader.Next();
    whole = sentence.ends_paragraph;
    text += sentence.text;
    text += whole ? '\n' : ' ';
  }
  return text;
}

Result<std::vector<tokenizer::TokenId>> ProseTokens(const tokenizer::Tokenizer& tokenizer, size_t tokens, uint64_t seed) {
  // Most vocabularies take about four characters for a token; longer prose begins with the shorter one.
  for (size_t characters = tokens * 4;; characters *= 2) {
    DAMASK_ASSIGN_OR_RETURN(std::vector<tokenizer::TokenId> ids,
                            tokenizer.Encode(Prose(characters, seed), tokenizer::Special::kPlain));
    if (ids.size() < tokens) continue;
    ids.resize(tokens);
    return ids;
  }
}

}  // namespace damask::texts
